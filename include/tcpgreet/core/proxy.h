/* The way through a proxy, as a dialogue: HTTP CONNECT or SOCKS5. When it is over, the target's bytes follow.
 */
#ifndef TCPGREET_CORE_PROXY_H
#define TCPGREET_CORE_PROXY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tcpgreet/core/dialogue.h"
#include "tcpgreet/core/target.h"

enum {
    PROXY_USER_MAX = 255,           /* RFC 1929 section 2; also of the password */
    PROXY_HOST_MAX = 255,           /* RFC 1928 section 5: a length of one byte */
    PROXY_LINE_MAX = 8 * 1024,      /* of an HTTP reply, as common servers limit it */
    PROXY_REPLY_MAX = 64 * 1024,    /* its status line and all header lines together */
    PROXY_REQUEST_BYTES = 2 * 1024, /* room in out with which the dialogue can go on */
    PROXY_WORDS_BYTES = 120         /* what a proxy gives as its reason: kept of it, escaped */
};

enum proxy_kind { PROXY_NONE, PROXY_HTTP, PROXY_SOCKS5 };

/* A proxy as the user names it. Invariant: all zero where kind is PROXY_NONE. */
struct proxy_config {
    enum proxy_kind kind;
    struct target at;
    bool has_user;
    char user[PROXY_USER_MAX + 1];
    const char *password; /* NULL: none; borrowed */
};

/* Parses "http://[USER@]HOST[:PORT]" or "socks5://…"; USER may have %XX. Without PORT it is 1080, as with
 * curl. An URL with a password is rejected. Errors: usage: what is wrong, and the URL that was probably
 * meant; the text never holds a part of a password. Source: RFC 3986, RFC 6874 (zones). */
int proxy_parse(struct proxy_config *config, const char *url, struct err *err);

/* Writes "http://proxy:3128", without the user. Returns: text. Shape: kind is not PROXY_NONE. */
const char *proxy_format(const struct proxy_config *config, char *text, size_t room);

/* What a proxy is asked for. Shape: host is an address literal without zone, or a name in ASCII. */
struct proxy_route {
    const struct proxy_config *proxy; /* borrowed */
    enum target_kind kind;            /* of host */
    char host[PROXY_HOST_MAX + 1];
    uint16_t port;
};

enum proxy_end {
    PROXY_END_NONE,
    PROXY_END_CONNECTED,
    PROXY_END_REFUSED,        /* the proxy gives code as its reason */
    PROXY_END_AUTHENTICATION, /* it requires credentials, or rejects ours */
    PROXY_END_STRANGE,        /* the peer is not such a proxy */
    PROXY_END_MALFORMED,      /* it is, but its reply is not valid */
    PROXY_END_TOO_LONG,       /* its reply is longer than PROXY_LINE_MAX or PROXY_REPLY_MAX */
    PROXY_END_CLOSED,         /* it ended the connection before its reply was complete */
    PROXY_END_SILENT          /* the time was over before that */
};

/* Invariant: end is PROXY_END_NONE until the dialogue is over. */
struct proxy {
    struct dialogue dialogue;
    const struct proxy_route *route;
    enum proxy_end end;
    uint8_t stage;                  /* of the protocol */
    int code;                       /* HTTP status, or SOCKS5 method, status or reply; 0: none yet */
    size_t reply_bytes;             /* consumed of an HTTP reply */
    bool begun;                     /* a part of the reply that is awaited has come */
    bool asked;                     /* the proxy has all that it needs to connect to the target */
    bool offers_basic;              /* with HTTP status 407 or 401 */
    char schemes[64];               /* the same: all that it offers, escaped */
    char words[PROXY_WORDS_BYTES];  /* the reason phrase, escaped */
    char reason[PROXY_WORDS_BYTES]; /* Proxy-Status (RFC 9209) or Squid's own field, escaped; "" */
};

/* Asks for a connection to the route's host. The connection is the target's when the dialogue is over: bytes
 * that it does not consume come from there. It has no deadline of its own: expire at any time is the end of
 * the caller's time.
 * Borrows: route, until it is over. Shape: route->proxy->kind is not PROXY_NONE.
 * Errors of failure: connect-proxy; connect-timeout: no reply to the request within the time. Source: RFC
 * 9110 section 9.3.6, RFC 9112, RFC 7617; RFC 1928, RFC 1929. */
void proxy_init(struct proxy *proxy, const struct proxy_route *route);

#endif
