/* Two sides of a TLS connection in memory, each with a list of things to do. Include OpenSSL and cmocka
 * first. */
#ifndef TCPGREET_TEST_TLS_PARTY_H
#define TCPGREET_TEST_TLS_PARTY_H

#include <openssl/ssl.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#include "support/certificates.h"
#include "support/stream_fault.h"
#include "tcpgreet/base/buf.h"
#include "tcpgreet/tls/stream_tls.h"
#include "tcpgreet/tls/tls.h"

enum tls_act {
    TLS_DONE,
    TLS_SHAKE,
    TLS_SEND,        /* writes its words */
    TLS_RECEIVE,     /* reads what it expects */
    TLS_END,         /* ends its side */
    TLS_RECEIVE_END, /* reads a clean end */
    TLS_LEAVE        /* is gone without a word */
};

enum { TLS_ACTS = 6, TLS_PIPE_BYTES = 64 * 1024 };

/* One side. The first four are set by the test: faults before it is connected, the others before they meet.
 */
struct tls_party {
    struct stream_faults faults; /* of what is below TLS */
    enum tls_act acts[TLS_ACTS]; /* ends at TLS_DONE */
    struct bytes words, expected;

    struct stream *stream; /* a failed one is freed, as a connection does */
    size_t act;            /* how far it came */
    size_t sent, received;
    bool failed;
    struct err err;
    bool has_facts; /* asked for after the handshake, or where it failed */
    struct stream_tls_facts facts;
};

#define TLS_PLAN(party, ...)                                                                                 \
    memcpy((party)->acts, (const enum tls_act[TLS_ACTS]){__VA_ARGS__}, sizeof(party)->acts)

struct tls_meeting {
    struct tls_party client, server;
    struct stream *lowers[2]; /* what is below the client, below the server: for streams of the test's own */
};

/* Lays fresh pipes with the parties' faults. */
void tls_meeting_wire(struct tls_meeting *meeting);

/* TLS on both sides, over fresh pipes. */
void tls_meeting_connect(struct tls_meeting *meeting, struct tls_client *client, struct tls_server *server,
                         const char *host);

/* Both do what they have to, until they are done or have failed. Fails the test where they hang, and where an
 * operation breaks a promise: err is set with STREAM_FAILED only, OpenSSL's error queue is empty after it. */
void tls_meeting_run(struct tls_meeting *meeting);

/* Runs handshakes that must not fail. */
void tls_meeting_shake(struct tls_meeting *meeting);

/* Frees the streams and forgets what was done, for another turn of the same parties. */
void tls_meeting_part(struct tls_meeting *meeting);

/* Fails the test, in the words of what failed, unless it has done everything. */
void tls_party_expect_done(const struct tls_party *party);

/* Fails the test unless it has failed for this reason, in a sentence that holds part. */
void tls_party_expect_failure(const struct tls_party *party, enum err_reason reason, const char *part);

/* Contexts that must not fail. `_plain`: one that trusts the certificates' root; one that has their server
 * certificate. */
struct tls_client *tls_party_client(const struct tls_client_config *config);
struct tls_server *tls_party_server(const struct tls_server_config *config);
struct tls_client *tls_party_client_plain(const struct certificates *certificates);
struct tls_server *tls_party_server_plain(const struct certificates *certificates);

/* OpenSSL as it comes, at security level 0, over lower: it offers and takes what this program would not.
 * Takes: lower. Shape: max_version 0: the newest; chain: up to NULL, the first is the identity; ssl: NULL, or
 * where to put what OpenSSL calls the connection, the stream's. */
struct stream *tls_raw_server(struct stream *lower, int max_version, const struct certificate *const *chain,
                              SSL **ssl);
struct stream *tls_raw_client(struct stream *lower, int max_version, const struct certificate *const *chain,
                              SSL **ssl);

/* The same in two steps, for streams that share a context, and so its tickets. Shape: method:
 * TLS_server_method() or TLS_client_method(). */
SSL_CTX *tls_raw_context(const SSL_METHOD *method, int max_version, const struct certificate *const *chain);
struct stream *tls_raw_stream(struct stream *lower, SSL_CTX *context, SSL **ssl);

#endif
