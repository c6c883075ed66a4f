/* What makes a TLS stream, and what the streams of one thread share. */
#ifndef TCPGREET_TLS_STREAM_TLS_NEW_H
#define TCPGREET_TLS_STREAM_TLS_NEW_H

#include <openssl/ssl.h>

#include "tcpgreet/base/err.h"
#include "tcpgreet/core/stream.h"

struct stream_tls;

/*
 * The streams of one thread that retain OpenSSL's buffers between two records: those used last. All others
 * release theirs, which makes an idle connection small and costs two large allocations a record. Starts as
 * {0}. Invariant: streams[s->slot] == s for each stream that is retained.
 */
enum { TLS_RETAINED_MAX = 128 }; /* of at most 34 KiB each */

struct tls_retained {
    struct stream_tls *streams[TLS_RETAINED_MAX];
    unsigned next; /* the slot whose stream was retained first */
};

/* Of a role that ssl has already. Takes: lower and ssl, also on failure. Borrows: retained, until the stream
 * is freed. whose: copied; NULL on the server's side. */
struct stream *stream_tls_new(struct stream *lower, SSL *ssl, const char *whose,
                              struct tls_retained *retained, struct err *err);

/* A server's. Takes: lower, also on failure. Borrows: retained, likewise; context, of which it holds a
 * reference until the client's first bytes are there. */
struct stream *stream_tls_new_server(struct stream *lower, SSL_CTX *context, struct tls_retained *retained,
                                     struct err *err);

#endif
