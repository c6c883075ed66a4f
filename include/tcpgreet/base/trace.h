/* The trace: every layer reports its steps here; explain turns them into text. */
#ifndef TCPGREET_BASE_TRACE_H
#define TCPGREET_BASE_TRACE_H

#include <stdint.h>

#include "tcpgreet/base/buf.h"

enum trace_step {
    TRACE_RESOLVE,          /* getaddrinfo called for one family */
    TRACE_RESOLVED,         /* its answer; result: addresses, or -1 */
    TRACE_RESOLVE_CANCEL,   /* the answer is no longer waited for */
    TRACE_RACE_HOLD,        /* addresses wait for the AAAA answer */
    TRACE_RACE_NEXT,        /* the next attempt is due at a known time */
    TRACE_SOCKET,           /* socket(2) */
    TRACE_V6ONLY,           /* setsockopt IPV6_V6ONLY */
    TRACE_REUSEADDR,        /* setsockopt SO_REUSEADDR */
    TRACE_REUSEPORT,        /* setsockopt SO_REUSEPORT */
    TRACE_NODELAY,          /* setsockopt TCP_NODELAY */
    TRACE_BIND_NO_PORT,     /* setsockopt IP_BIND_ADDRESS_NO_PORT */
    TRACE_BIND,             /* bind(2) */
    TRACE_LISTEN,           /* listen(2) */
    TRACE_WAIT,             /* the loop waits for connections */
    TRACE_ACCEPT,           /* accept4(2) */
    TRACE_CONNECT,          /* connect(2) begun */
    TRACE_CONNECTED,        /* its outcome; result 0 or -1 */
    TRACE_RACE_WON,         /* this attempt is used */
    TRACE_RACE_LOST,        /* this one is closed, another was faster */
    TRACE_PROXY,            /* a proxy is asked for the target */
    TRACE_PROXY_CONNECTED,  /* it has connected to it */
    TRACE_PROXY_HEADER,     /* a PROXY header is sent; arguments: its addresses */
    TRACE_PROXIED,          /* one was received; likewise */
    TRACE_READ,             /* recv(2) */
    TRACE_END,              /* recv(2) returned 0: the peer sent a FIN */
    TRACE_WRITE,            /* send(2) */
    TRACE_NAME_PAUSE,       /* a pause ended a name */
    TRACE_NAME_SPLIT,       /* one read brought several names, or a part of one; result: names ended */
    TRACE_SHUTDOWN,         /* shutdown(2) */
    TRACE_STARTTLS,         /* the plain dialogue before TLS is over */
    TRACE_TLS_CLIENT_HELLO, /* from here to ALERT: one TLS message each; arguments: which way, and its size */
    TRACE_TLS_SERVER_HELLO,
    TRACE_TLS_HELLO_RETRY_REQUEST,
    TRACE_TLS_ENCRYPTED_EXTENSIONS,
    TRACE_TLS_CERTIFICATE_REQUEST,
    TRACE_TLS_CERTIFICATE,
    TRACE_TLS_CERTIFICATE_STATUS,
    TRACE_TLS_CERTIFICATE_VERIFY,
    TRACE_TLS_SERVER_KEY_EXCHANGE,
    TRACE_TLS_SERVER_HELLO_DONE,
    TRACE_TLS_CLIENT_KEY_EXCHANGE,
    TRACE_TLS_FINISHED,
    TRACE_TLS_NEW_SESSION_TICKET,
    TRACE_TLS_KEY_UPDATE,
    TRACE_TLS_CHANGE_CIPHER_SPEC,
    TRACE_TLS_OTHER_MESSAGE,
    TRACE_TLS_CLOSE_NOTIFY,
    TRACE_TLS_ALERT,
    TRACE_TLS_AGREED,  /* the handshake is complete; arguments: version, cipher, group */
    TRACE_SCRIPT_SEND, /* from here to REJECT: a step of --send, --expect, --reject; arguments: the pattern */
    TRACE_SCRIPT_EXPECT, /* data: what it matched */
    TRACE_SCRIPT_REJECT,
    TRACE_DEADLINE, /* a timeout expired */
    TRACE_CLOSE,    /* close(2) */
    TRACE_STEPS
};

/* What the bytes are that a stream moves for the layer above it. */
enum trace_bytes { TRACE_BYTES_PLAIN, TRACE_BYTES_HANDSHAKE, TRACE_BYTES_ENCRYPTED, TRACE_BYTES_SECRET };

/* One step. Invariant: native != 0 only where result < 0. */
struct trace_event {
    enum trace_step step;
    int fd;                /* the socket, -1 where there is none */
    const char *arguments; /* what a person would write after the descriptor; NULL: none */
    int64_t result;
    int native;             /* errno of a failed call, 0 */
    uint64_t begin_ns;      /* from trace_begin; 0: the step has no duration */
    struct bytes data;      /* bytes moved, unescaped; {0} for none */
    enum trace_bytes bytes; /* set by trace_emit */
};

/* Calls back: from any thread, within the step, errno preserved around it. */
typedef void trace_fn(void *context, const struct trace_event *event);

/* NULL: off. Set once with trace_to before threads start, read everywhere. */
extern trace_fn *trace_sink;

/* Sends every step to sink from now on; NULL turns the trace off. Thread: before any other thread starts. */
void trace_to(trace_fn *sink, void *context);

/* Returns: CLOCK_MONOTONIC in ns while the trace is on, else 0 without asking the clock. */
uint64_t trace_begin(void);

/* Sets what the steps of this thread move from now on; TLS does so around its calls of the stream below. */
void trace_bytes_are(enum trace_bytes bytes);

/* Delivers one step; use trace(). */
void trace_emit(const struct trace_event *event);

/* trace(.step = TRACE_BIND, .fd = fd, .begin_ns = t, .result = r): only a test of a pointer when off. */
#define trace(...)                                                                                           \
    do {                                                                                                     \
        if (trace_sink != NULL)                                                                              \
            trace_emit(&(struct trace_event){__VA_ARGS__});                                                  \
    } while (0)

#endif
