/* The TLS stream: its state, the BIO below OpenSSL, and its failures as messages. */
#ifndef TCPGREET_TLS_CONNECTION_H
#define TCPGREET_TLS_CONNECTION_H

#include "context.h"
#include "stream_tls_new.h"
#include "tcpgreet/tls/stream_tls.h"
#include "verdict.h"

enum stream_tls_progress {
    STREAM_TLS_NEW,
    STREAM_TLS_SHAKING,
    STREAM_TLS_QUOTING, /* the server does not use TLS: it is read on for the rest of its line */
    STREAM_TLS_REFUSED,
    STREAM_TLS_UP,
    STREAM_TLS_CLOSE_SENT,
    STREAM_TLS_DOWN
};

/* Invariants: err and lower_drained are set only inside an operation; ssl is NULL only on the server's side
 * and before STREAM_TLS_SHAKING: a client that has sent nothing costs no memory of OpenSSL's. */
struct stream_tls {
    struct stream base;
    struct stream *lower;
    SSL *ssl;
    SSL_CTX *context; /* a reference, until ssl is made from it; NULL */
    struct err *err;  /* where the lower stream's failures go */
    char *whose;      /* the host, for messages; NULL on the server's side */
    uint64_t begin_ns;
    uint64_t sent_ns;     /* when this side's last flight of the handshake went out; 0: it is answered */
    uint64_t answered_ns; /* how long the peer took for that */
    struct tls_verdict verdict;
    struct tls_retained *retained;
    uint8_t slot;       /* in retained; TLS_RETAINED_MAX: its buffers are released */
    bool lower_ended;   /* the peer has sent its FIN */
    bool lower_drained; /* the last read below left nothing: the next one would wait */
    bool ahead;         /* OpenSSL may hold bytes that wake no poll: some came, and it has not waited since */
    bool is_requested;  /* the server sent a CertificateRequest */
    bool asked_in_vain; /* for a certificate, and none was sent; no data came since */
    bool is_shown;      /* a certificate of this side was sent */
    bool was_short;   /* of memory in the handshake, which may have gone on regardless; no data came since */
    uint8_t progress; /* enum stream_tls_progress */
    uint8_t first_count;
    uint8_t unread; /* of first, from its end: OpenSSL has not read them yet */
    uint8_t flood;
    uint16_t pending;                            /* bytes of a write that waits */
    unsigned char first[STREAM_TLS_FIRST_BYTES]; /* the peer's first bytes */
};

/* The BIO below OpenSSL, which uses the lower stream's five results. Borrows: tls. Returns: NULL without
 * memory. */
BIO *stream_tls_bio(struct stream_tls *tls);

/* Server: awaits the client's first bytes, and makes ssl once they are TLS. Returns: STREAM_OK where it is
 * made. Errors: as stream_tls_fail. */
enum stream_result stream_tls_await_client(struct stream_tls *tls, struct err *err);

/* Client: returns: whether the server does not use TLS, and may send more that is to be quoted. Not one that
 * agreed to STARTTLS: it is refused at once. */
bool stream_tls_is_to_quote(const struct stream_tls *tls);

/* Client: reads the rest of the first line of a server that does not use TLS. Returns: STREAM_WANT_READ, with
 * is_quoting set, until that is complete; then STREAM_FAILED. Errors: tls-plaintext-peer. */
enum stream_result stream_tls_quote(struct stream_tls *tls, struct err *err);

/* Returns: whether what the peer sent first may be TLS. */
bool stream_tls_is_used(const struct stream_tls *tls);

/* Adds to first what fits. */
void stream_tls_keep_first(struct stream_tls *tls, const char *data, size_t count);

/* The message of a failed call. What the lower stream or the verification has set already stays. Returns:
 * STREAM_FAILED. */
enum stream_result stream_tls_fail(struct stream_tls *tls, const char *doing, struct err *err);

/* The connection ended in the handshake; on the server's side that may be a mere look at the port. */
void stream_tls_fail_cut(const struct stream_tls *tls, struct err *err);

/* The time for the handshake is over: what it was waiting for. Returns: STREAM_FAILED. */
enum stream_result stream_tls_expire(const struct stream_tls *tls, struct err *err);

#endif
