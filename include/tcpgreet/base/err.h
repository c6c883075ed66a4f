/* Errors as values: a reason, what exactly failed and the facts that belong to it, and one sentence for a
 * person. */
#ifndef TCPGREET_BASE_ERR_H
#define TCPGREET_BASE_ERR_H

#include "tcpgreet/base/buf.h"

/*
 * The one table of reasons: enumerator, word (docs/exit-codes.md), exit code.
 * A word's family is what stands before its first dash; a family has one exit code. Words are never renamed.
 */
#define ERR_REASONS(X)                                                                                       \
    X(ERR_OK, "ok", 0)                                                                                       \
    X(ERR_INTERNAL, "internal", 1)                                                                           \
    X(ERR_USAGE, "usage", 2)                                                                                 \
    X(ERR_RESOLVE_NOT_FOUND, "resolve-not-found", 3)                                                         \
    X(ERR_RESOLVE_TEMPORARY, "resolve-temporary", 3)                                                         \
    X(ERR_CONNECT_REFUSED, "connect-refused", 4)                                                             \
    X(ERR_CONNECT_UNREACHABLE, "connect-unreachable", 4)                                                     \
    X(ERR_CONNECT_TIMEOUT, "connect-timeout", 4)                                                             \
    X(ERR_CONNECT_RESET, "connect-reset", 4)                                                                 \
    X(ERR_CONNECT_PROXY, "connect-proxy", 4)                                                                 \
    X(ERR_TLS_PLAINTEXT_PEER, "tls-plaintext-peer", 5)                                                       \
    X(ERR_TLS_SILENT_PEER, "tls-silent-peer", 5)                                                             \
    X(ERR_TLS_STARTTLS, "tls-starttls", 5)                                                                   \
    X(ERR_TLS_PROTOCOL, "tls-protocol", 5)                                                                   \
    X(ERR_TLS_ALERT, "tls-alert", 5)                                                                         \
    X(ERR_TLS_NO_ALERT, "tls-no-alert", 5)                                                                   \
    X(ERR_TLS_TIMEOUT, "tls-timeout", 5)                                                                     \
    X(ERR_TLS_CLIENT_CERTIFICATE, "tls-client-certificate", 5)                                               \
    X(ERR_CERT_EXPIRED, "cert-expired", 6)                                                                   \
    X(ERR_CERT_NOT_YET_VALID, "cert-not-yet-valid", 6)                                                       \
    X(ERR_CERT_NAME, "cert-name", 6)                                                                         \
    X(ERR_CERT_UNTRUSTED, "cert-untrusted", 6)                                                               \
    X(ERR_CERT_NO_TRUST_STORE, "cert-no-trust-store", 6)                                                     \
    X(ERR_CERT_SELF_SIGNED, "cert-self-signed", 6)                                                           \
    X(ERR_CERT_PURPOSE, "cert-purpose", 6)                                                                   \
    X(ERR_CERT_WEAK, "cert-weak", 6)                                                                         \
    X(ERR_CERT_PIN, "cert-pin", 6)                                                                           \
    X(ERR_CERT_REVOKED, "cert-revoked", 6)                                                                   \
    X(ERR_DIALOGUE_EARLY_END, "dialogue-early-end", 7)                                                       \
    X(ERR_DIALOGUE_TRUNCATED, "dialogue-truncated", 7)                                                       \
    X(ERR_DIALOGUE_WRONG_ANSWER, "dialogue-wrong-answer", 7)                                                 \
    X(ERR_DIALOGUE_UNEXPECTED, "dialogue-unexpected", 7)                                                     \
    X(ERR_DIALOGUE_TIMEOUT, "dialogue-timeout", 7)                                                           \
    X(ERR_DIALOGUE_TLS_PEER, "dialogue-tls-peer", 7)                                                         \
    X(ERR_DIALOGUE_RESET, "dialogue-reset", 7)                                                               \
    X(ERR_SYSTEM_ADDRESS_IN_USE, "system-address-in-use", 8)                                                 \
    X(ERR_SYSTEM_ADDRESS_NOT_AVAILABLE, "system-address-not-available", 8)                                   \
    X(ERR_SYSTEM_PERMISSION, "system-permission", 8)                                                         \
    X(ERR_SYSTEM_DESCRIPTORS, "system-descriptors", 8)                                                       \
    X(ERR_SYSTEM_FILE, "system-file", 8)                                                                     \
    X(ERR_SYSTEM_OUTPUT, "system-output", 8)                                                                 \
    X(ERR_SYSTEM_OTHER, "system-other", 8)                                                                   \
    X(ERR_DEGRADED, "degraded", 9)                                                                           \
    X(ERR_THRESHOLD, "threshold", 10)                                                                        \
    X(ERR_INTERRUPTED, "interrupted", 130)                                                                   \
    X(ERR_TERMINATED, "terminated", 143)

enum err_reason {
#define ERR_ENUMERATOR(name, word, code) name,
    ERR_REASONS(ERR_ENUMERATOR)
#undef ERR_ENUMERATOR
        ERR_REASON_COUNT
};

/* The exact failure, where the reason alone is not specific enough; in brackets the facts that come with it.
 */
enum err_detail {
    ERR_DETAIL_NONE,
    ERR_DETAIL_LITERAL,             /* resolve-not-found: an address literal does not fit this machine */
    ERR_DETAIL_SERVICE,             /* resolve-not-found: a service name is unknown */
    ERR_DETAIL_TLS_VERSION,         /* tls-protocol: no TLS version that both sides allow (alert) */
    ERR_DETAIL_TLS_CUT,             /* tls-protocol: the peer closed or reset during the handshake */
    ERR_DETAIL_TLS_UNANSWERED,      /* tls-protocol: the same, before the peer sent a byte */
    ERR_DETAIL_CERTIFICATE_ABSENT,  /* tls-client-certificate: one is required and none was sent (alert) */
    ERR_DETAIL_CERTIFICATE_UNFIT,   /* tls-client-certificate: likewise, as it does not fit (alert) */
    ERR_DETAIL_CERTIFICATE_REFUSED, /* tls-client-certificate: the one that was sent is refused (alert) */
    ERR_DETAIL_ISSUER_UNKNOWN,      /* cert-untrusted: no trust anchor above it (depth, name of the host) */
    ERR_DETAIL_ISSUER_OTHER_KEY, /* cert-untrusted: a CA of its issuer's name is trusted, which did not sign
                                  * it (depth, name of the host) */
    ERR_DETAIL_ANCHOR_EXPIRED,   /* cert-expired: a CA of the trust store, which the peer did not send (depth,
                                  * name of the host) */
    ERR_DETAIL_REVOCATION_UNKNOWN, /* cert-untrusted: no usable revocation list (name of the host) */
    ERR_DETAIL_NO_NAMES,           /* cert-name: nothing in subjectAltName (name of the host) */
    ERR_DETAIL_OTHER_NAMES,        /* cert-name: other names (name of the host) */
    ERR_DETAIL_ADDRESS_AS_NAME,    /* cert-name: the address stands there as a DNS name (name of the host) */
    ERR_DETAIL_HOST_UNFIT,         /* cert-name: no certificate can be for such a host (name) */
    ERR_DETAIL_KEY_USAGE,          /* cert-purpose: it may not sign, which every handshake needs */
    ERR_DETAIL_TLS_ASSUMED,        /* dialogue-tls-peer: it behaves as a TLS server would, no more is known */
    ERR_DETAIL_UNANSWERED,      /* dialogue-early-end, dialogue-unexpected: the peer closed on the first bytes
                                 * that it received, before it sent any */
    ERR_DETAIL_SERVER_FULL,     /* dialogue-early-end: the server has too many connections */
    ERR_DETAIL_VOLUME_STALLED,  /* dialogue-timeout: a large transfer received nothing at all for a while */
    ERR_DETAIL_VOLUME_CHANGED,  /* dialogue-wrong-answer: a byte of a large transfer is wrong (received) */
    ERR_DETAIL_PROXY_HTTP,      /* connect-proxy: its status is not 2xx (native: the status) */
    ERR_DETAIL_PROXY_SOCKS,     /* connect-proxy: its SOCKS5 reply is not 0 (native: the reply) */
    ERR_DETAIL_PROXY_USER,      /* connect-proxy: it requires authentication, or rejects the credentials */
    ERR_DETAIL_PROXY_STRANGE,   /* connect-proxy: the peer is no such proxy (received) */
    ERR_DETAIL_PROXY_MALFORMED, /* connect-proxy: its reply is not valid or too long (received) */
    ERR_DETAIL_PROXY_CLOSED,    /* connect-proxy: it closed before its reply was complete */
    ERR_DETAIL_PROXY_SILENT,    /* connect-proxy, connect-timeout: its reply was not complete in time */
    ERR_DETAILS
};

enum { ERR_TEXT_BYTES = 512, ERR_NAME_BYTES = 256, ERR_RECEIVED_MAX = 64 };

/* What a failure is recorded with. Borrows: all, for the call. */
struct err_facts {
    enum err_detail detail;
    int native;              /* errno or the like; 0 where there is none */
    int alert;               /* TLS alert that the peer sent; 0 where there is none */
    int depth;               /* of the certificate at fault: 0 is the peer's own */
    enum err_reason awaited; /* interrupted: the reason, had its own time limit expired; ERR_OK: not known */
    const char *name;        /* the host that was expected; NULL */
    struct bytes received;   /* from the peer; the first ERR_RECEIVED_MAX are kept */
};

/* Starts as `struct err err = {0}`. Invariant: reason == ERR_OK if and only if text is empty. The text is for
 * people alone: code decides by the other members. */
struct err {
    enum err_reason reason;
    enum err_detail detail;
    int native;
    int alert;
    int depth;
    enum err_reason awaited;
    char name[ERR_NAME_BYTES]; /* "" where there is none; cut where it is longer */
    unsigned char received[ERR_RECEIVED_MAX];
    size_t received_count;
    char text[ERR_TEXT_BYTES];
};

/* Records a failure, unless one is recorded already: the first one is kept.
 * Shape: err may be NULL; the text is cut at ERR_TEXT_BYTES - 1, never inside an escape or a UTF-8 character.
 * Returns: -1, always, so that a caller can `return err_set(...)`. */
__attribute__((format(printf, 4, 5))) int err_set(struct err *err, enum err_reason reason, int native,
                                                  const char *format, ...);

/* The same, with the facts. Shape: facts are not NULL. */
__attribute__((format(printf, 4, 5))) int err_set_facts(struct err *err, enum err_reason reason,
                                                        const struct err_facts *facts, const char *format,
                                                        ...);

/* The same, with the reason and the facts of another failure. Shape: why has failed; err != why. */
__attribute__((format(printf, 3, 4))) int err_set_from(struct err *err, const struct err *why,
                                                       const char *format, ...);

/* Returns: whether native is the errno of a call on a connection that the peer has reset, not ended in order:
 * not 0, which is an end, nor ETIMEDOUT and its like, which are neither. Source: recv(2), send(2). */
bool err_is_of_reset(int native);

/* Records that a thread could not be started, with the errno: why, and what to do. Errors: system-other; as
 * err_reason_of_system has it. Returns: -1, always. Source: pthread_create(3). */
int err_set_no_thread(struct err *err, int native);

/* Returns: the peer's first bytes; empty where none belong to the failure. */
struct bytes err_received(const struct err *err);

/* Adds context in front of a recorded text: err_context(err, "cannot do %s", x) makes "cannot do x: " + text,
 * whose tail is cut where it does not fit. Does nothing where nothing is recorded. Shape: err may be NULL.
 * Returns: -1, always. */
__attribute__((format(printf, 2, 3))) int err_context(struct err *err, const char *format, ...);

/* Forgets what is recorded. */
void err_clear(struct err *err);

/* Returns: a copy for err_free, which is not to be changed: where memory is exhausted, it reports that
 * instead. */
struct err *err_copy(const struct err *err);

/* Shape: NULL is allowed. */
void err_free(struct err *copy);

/* Returns: the contract's word for a reason, "internal" for anything out of range. */
const char *err_word(enum err_reason reason);

/* Returns: the exit code of a reason. */
int err_exit_code(enum err_reason reason);

/* Returns: the connect-… reason of a connect(2) errno; system-… where the fault is on this side. */
enum err_reason err_reason_of_connect(int native);

/* Returns: the system-… reason of an errno. */
enum err_reason err_reason_of_system(int native);

#endif
