/* What one round of a probe found: every address through every phase, and what is wrong. */
#ifndef TCPGREET_PROBE_RESULT_H
#define TCPGREET_PROBE_RESULT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "tcpgreet/base/err.h"
#include "tcpgreet/core/endpoint.h"
#include "tcpgreet/core/race.h"
#include "tcpgreet/core/service.h"
#include "tcpgreet/net/reach.h"
#include "tcpgreet/net/tcp_facts.h"
#include "tcpgreet/probe/probe.h"
#include "tcpgreet/tls/stream_tls.h"

/* In the order they happen. RESOLVE is that of the address's family. */
enum probe_phase {
    PROBE_RESOLVE,
    PROBE_CONNECT,
    PROBE_PROXY, /* from the end of connect, which is to the proxy, until it has connected to the target */
    PROBE_STARTTLS,
    PROBE_TLS,
    PROBE_WELCOME,  /* from the end of the handshake to the first byte of the server's */
    PROBE_NAME,     /* from a name sent to its complete answer */
    PROBE_CLOSE,    /* from exit sent to the server's end */
    PROBE_EXCHANGE, /* --send and --expect instead: from the end of the handshake to the last byte that counts
                     */
    PROBE_VOLUME,   /* --volume, on a connection of its own */
    PROBE_PHASES
};

enum { PROBE_ADDRESSES_MAX = RACE_FAMILIES * RACE_ENDPOINTS_PER_FAMILY, PROBE_INTERFACE_BYTES = 16 };

/* Relative to the start of the round. Invariant: 0 <= begin_ns <= end_ns; both -1 where it was not reached.
 */
struct probe_span {
    int64_t begin_ns;
    int64_t end_ns;
};

enum probe_resumption {
    PROBE_RESUMPTION_UNTRIED,
    PROBE_RESUMPTION_NO_TICKET, /* the server sent none */
    PROBE_RESUMPTION_REFUSED,   /* it made a full handshake instead */
    PROBE_RESUMPTION_FAILED,    /* the second connection did not come up */
    PROBE_RESUMPTION_ACCEPTED
};

/* What a peer did without having received anything, where the dialogue is not demanded. */
enum probe_peer {
    PROBE_PEER_UNKNOWN,
    PROBE_PEER_GREETS, /* it sent the welcome */
    PROBE_PEER_OTHER,  /* it sent something else */
    PROBE_PEER_SILENT, /* it sent nothing for as long as it was listened to */
    PROBE_PEER_CLOSED, /* it closed the connection without sending data */
    PROBE_PEER_RESET   /* it reset the connection without sending data */
};

/* The last phase that is proved. */
enum probe_verified {
    PROBE_VERIFIED_NOTHING,
    PROBE_VERIFIED_RESOLVE,
    PROBE_VERIFIED_CONNECT,
    PROBE_VERIFIED_TLS,
    PROBE_VERIFIED_EXCHANGE,
    PROBE_VERIFIED_DIALOGUE
};

struct probe_volume {
    uint64_t names;
    uint64_t sent_bytes;
    uint64_t received_bytes;
};

/* One address. Invariant: err.reason == ERR_OK if and only if every phase that was requested succeeded; else
 * `last` is the phase that failed. */
struct probe_address {
    struct endpoint peer;
    struct endpoint local;                 /* AF_UNSPEC: never bound */
    char interface[PROBE_INTERFACE_BYTES]; /* "" where it is not known */
    struct probe_span spans[PROBE_PHASES];
    enum probe_phase last; /* the last one begun */
    struct err err;        /* its text does not name the peer */
    enum reach reach;      /* what keeps this machine from reaching it, found when connect began */
    struct tcp_facts tcp;
    struct stream_tls_facts tls; /* version "": no handshake was finished; certificate fields also where it
                                    was refused */
    enum probe_resumption resumption;
    enum probe_peer peer_is;
    unsigned char first[SERVICE_FIRST_BYTES]; /* what it sent first, before it received anything; of an
                                                 exchange: what met the last expectation, or came instead */
    size_t first_count;
    int64_t listened_ns;           /* when listening ended; 0: it did not come to that */
    bool is_certificate_requested; /* of this client, in TLS 1.3, where it is refused after the handshake */
    int alert;                     /* the TLS alert that was expected, and came; 0 */
    struct probe_volume volume;
};

/* One family's answer of the name service. */
struct probe_answer {
    bool asked;
    size_t count;
    struct probe_span span; /* end -1: none came in time */
    struct err err;         /* why count == 0 */
    bool only_in_hosts;     /* the hosts file has the name, for the other family only */
};

/* One attempt of the race as a client would run it (RFC 8305), computed from what was measured. */
struct probe_attempt {
    size_t address; /* index */
    int64_t start_ns;
    int64_t end_ns; /* -1: closed because another won */
    bool won;
};

/* Starts as {0}; probe_result_fini frees the addresses. Texts are unescaped unless noted otherwise. */
struct probe_result {
    char target[300]; /* "host:6000", printable */
    char host[300];   /* printable */
    uint16_t port;    /* that the proxy is asked for; 0: there is none */
    size_t line;      /* of the list that has it; 0: none */
    char proxy[300]; /* "http://proxy:3128", printable; "": none. Else the addresses are those of the proxy */
    char proxy_host[300]; /* printable */
    bool literal;         /* what was to be resolved is an address: no name service was asked */
    bool tls;
    enum probe_until until;
    bool require_any;
    bool sends_header; /* a PROXY header, in front of all else */
    int64_t started_s; /* wall clock, seconds since 1970 */
    int64_t total_ns;  /* of the round */
    struct probe_answer answers[RACE_FAMILIES];
    struct probe_address *addresses; /* IPv6 first, in the resolver's order */
    size_t address_count;
    struct probe_attempt attempts[PROBE_ADDRESSES_MAX];
    size_t attempt_count;
    struct err verdict;        /* ERR_OK: all passed; the reason gives word and exit code: one of an address,
                                  ERR_DEGRADED,        ERR_THRESHOLD, resolve-… */
    bool verdict_names_target; /* verdict.text begins with the target, which is a single address */
};

void probe_result_fini(struct probe_result *result);

/* Returns: "resolve", "connect", "proxy", "starttls", "tls", "welcome", "name", "close", "exchange",
 * "volume". */
const char *probe_phase_name(enum probe_phase phase);

/* Returns: whose addresses these are: the proxy's host, or the target's. */
const char *probe_result_resolved(const struct probe_result *result);

/* Returns: how long a phase took, ns; -1 where it was not reached. */
int64_t probe_span_ns(const struct probe_span *span);

/* Returns: what on this machine keeps it from being connected to; REACH_OPEN: nothing that is known, or it
 * was connected to, or its peer or the path has answered. */
enum reach probe_address_reach(const struct probe_address *address);

/* Returns: whether the verdict takes account of an address: not where this machine cannot reach it at all, as
 * one without IPv6 cannot reach an IPv6 address, while there are others that it can. */
bool probe_result_counts(const struct probe_result *result, const struct probe_address *address);

/* Returns: how many do. */
size_t probe_result_counted(const struct probe_result *result);

/* Returns: the last phase that is proved of an address; of all that count. Through a proxy, connect is proved
 * once the proxy has connected. */
enum probe_verified probe_address_verified(const struct probe_result *result,
                                           const struct probe_address *address);
enum probe_verified probe_result_verified(const struct probe_result *result);

/* The connect has succeeded, and its span and tcp are set: it ends with its SYN-ACK, as the kernel measured
 * it, however late the loop learned of it. A SYN that was sent again has no such sample. */
void probe_address_end_connect(struct probe_address *address);

/* Returns: what the peer sent first; empty where it sent nothing unasked. */
struct bytes probe_address_first(const struct probe_address *address);

/* Returns: whether what it sent first begins with the whole welcome, whatever came with it. */
bool probe_address_greets(const struct probe_address *address);

/* Where --until auto found the dialogue at one address, the others are held to it: they fail as under --until
 * dialogue. Call it before the verdict. */
void probe_result_compare(struct probe_result *result);

/* Computes attempts from what was measured: the planner of RFC 8305 in virtual time, with each family's
 * answer and each address's connect as they came. Shape: attempt_delay_ms as the planner's. */
void probe_result_simulate(struct probe_result *result, int64_t attempt_delay_ms, int64_t connect_timeout_ms);

/* Computes the verdict from answers and the addresses that count: all OK: ERR_OK; none: the failure that
 * got furthest, of equals the first; some, without require_any, or a family whose name service fails:
 * ERR_DEGRADED, but where this side alone is at fault, out of descriptors or not permitted, its own reason.
 * Writes verdict.text, one sentence. */
void probe_result_judge(struct probe_result *result);

#endif
