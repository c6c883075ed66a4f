/* Results of probes made by hand, one fault per row, and the expected diagnosis of each. */
#ifndef TCPGREET_TEST_DIAGNOSED_H
#define TCPGREET_TEST_DIAGNOSED_H

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "probe/result.h"

#define HOST "greet.example.net"

enum { DIAGNOSED_ADDRESSES_MAX = 4, DIAGNOSED_WORDS_MAX = 4 };

/* What the certificate of an address is like; SHOWN_NONE: no TLS came so far. */
enum diagnosed_shown {
    SHOWN_NONE,
    SHOWN_GOOD,
    SHOWN_OLDER,
    SHOWN_ENDED,
    SHOWN_EARLY,
    SHOWN_ALONE,
    SHOWN_CHAINED,
    SHOWN_SELF,
    SHOWN_OTHER_NAME,
    SHOWN_CN_ONLY,
    SHOWN_ENDING,
    SHOWN_SHORT_LIVED
};

struct diagnosed_address {
    const char *peer;
    enum probe_phase last;
    enum err_reason reason;
    const char *text; /* of the error */
    enum diagnosed_shown shown;
    enum err_detail detail;
    const char *name;     /* that was expected */
    const char *received; /* from the peer */
    uint16_t port;        /* 0: 6000 */
    int native, alert, depth;
    enum reach reach; /* not REACH_OPEN: never bound, this machine could not try */
    uint32_t syn_again, again;
    bool starttls;     /* its phase was before the last one */
    int64_t waited_ms; /* longer than the others, in the last phase */
    enum probe_peer peer_is;
    bool is_certificate_requested;
};

/* One fault: the result, the expected findings in order, and a part of each sentence. */
struct diagnosed_row {
    const char *fault;
    struct diagnosed_address all[DIAGNOSED_ADDRESSES_MAX];
    bool tls;
    int64_t v6_ms, v4_ms; /* of the name service's answers; 0: at once; -1: none */
    enum err_reason v6, v4;
    bool only_v6, only_v4;
    bool v6_not_in_hosts;   /* /etc/hosts has the name for IPv4 only */
    const char *host;       /* NULL: HOST */
    enum probe_until until; /* 0: PROBE_UNTIL_DIALOGUE */
    bool sends_header;
    bool through_proxy; /* http://proxy.example:3128 */
    const char *remark; /* a part of the only one; NULL: none */
    struct {
        const char *word;
        const char *sentence;
    } findings[DIAGNOSED_WORDS_MAX];
};

#define V6 "2001:db8::25"
#define V6B "2001:db8::26"
#define V4 "192.0.2.25"
#define V4B "192.0.2.26"
#define V4C "192.0.2.27"
#define AT_V4 "At 192.0.2.25:6000 "
#define ALL_OK(address)                                                                                      \
    {                                                                                                        \
        .peer = (address), PROBE_CLOSE, .shown = SHOWN_NONE                                                  \
    }
#define ALL_OK_TLS(address, which)                                                                           \
    {                                                                                                        \
        .peer = (address), PROBE_CLOSE, .shown = (which)                                                     \
    }
#define REFUSED(address)                                                                                     \
    {                                                                                                        \
        .peer = (address), PROBE_CONNECT, ERR_CONNECT_REFUSED, "Connection refused"                          \
    }
#define DROPPED(address)                                                                                     \
    {                                                                                                        \
        .peer = (address), PROBE_CONNECT, ERR_CONNECT_TIMEOUT,                                               \
        "no answer within 10 s, the SYN was sent 4 times", .syn_again = 3, .again = 3                        \
    }
#define NO_ROUTE(address)                                                                                    \
    {                                                                                                        \
        .peer = (address), PROBE_CONNECT, ERR_CONNECT_UNREACHABLE, "Network is unreachable",                 \
        .reach = REACH_NO_ROUTE                                                                              \
    }
#define FORBIDDEN(address)                                                                                   \
    {                                                                                                        \
        .peer = (address), PROBE_CONNECT, ERR_CONNECT_UNREACHABLE, "Permission denied",                      \
        .reach = REACH_PROHIBITED                                                                            \
    }
#define BEYOND(address, what)                                                                                \
    {                                                                                                        \
        .peer = (address), PROBE_CONNECT, ERR_CONNECT_UNREACHABLE, "why", .reach = (what)                    \
    }
#define LATE ERR_DIALOGUE_TIMEOUT, "the server did not answer within 10 s"

/* Shape: *result is overwritten; probe_result_fini is the caller's. */
void diagnosed_make(struct probe_result *result, const struct diagnosed_row *row);

/* Fails the test if a row has other findings, or an incomplete sentence. */
void diagnosed_expect(const struct diagnosed_row *rows, size_t count);

#endif
