/* What the files of src/tls share: OpenSSL's types stop here. */
#ifndef TCPGREET_TLS_TLS_PRIVATE_H
#define TCPGREET_TLS_TLS_PRIVATE_H

#include <openssl/ssl.h>
#include <pthread.h>

#include "tcpgreet/base/file.h"
#include "tcpgreet/tls/stream_tls.h"
#include "tcpgreet/tls/tls.h"

/* What this process makes once and keeps. Where that fails, for want of memory, the next caller tries again.
 */
struct tls_once {
    pthread_mutex_t lock;
    bool made;
};

#define TLS_ONCE_INIT                                                                                        \
    {                                                                                                        \
        .lock = PTHREAD_MUTEX_INITIALIZER                                                                    \
    }

/* Returns: whether make has returned true, now or before. Thread: any. */
bool tls_once(struct tls_once *once, bool (*make)(void));

/* Shape: set_role is SSL_set_accept_state or SSL_set_connect_state. Errors: internal: no memory. */
SSL *tls_connection_new(SSL_CTX *context, void (*set_role)(SSL *), struct err *err);

/* A certificate of ours. Starts as {0}. */
struct tls_identity {
    X509 *certificate;
    EVP_PKEY *key;
    STACK_OF(X509) * chain;
};

int tls_identity_load(struct tls_identity *identity, const struct tls_files *files,
                      const struct tls_policy *policy, struct err *err);
int tls_identity_make(struct tls_identity *identity, struct err *err);
int tls_identity_copy(struct tls_identity *identity, const struct tls_identity *from, struct err *err);
void tls_identity_fini(struct tls_identity *identity);

/* The first verdict of a failed verification, kept for the sentence. On the client's side also what was
 * verified, until the handshake is done: OpenSSL need not tell it of one that failed. Starts as {0}. */
struct tls_verdict {
    int code; /* X509_V_ERR_… */
    int depth;
    X509 *certificate;      /* ours to free; NULL */
    X509 *leaf;             /* likewise */
    STACK_OF(X509) * chain; /* likewise: as sent, the leaf first */
    bool leaf_alone;        /* the peer sent nothing but its own certificate */
};

/* What to believe of a peer's certificate. */
struct tls_trust {
    struct tls_pins pins;
    bool believe_all;      /* --insecure: pins count still */
    bool pins_stand_alone; /* a pin stands in for a chain of trust and a name */
};

/* Whom to believe: a CA file or folder, NULL for the system's trust store. Errors: system-file. */
int tls_store_load(SSL_CTX *context, const char *ca, struct err *err);

/* Trusts the certificates of a file or of a directory of hashed links, and adds the subjects of a file's to
 * names. Shape: what names the option; names NULL: not wanted. Errors: system-file, system-permission. */
int tls_store_add(SSL_CTX *context, const char *what, const char *path, STACK_OF(X509_NAME) * names,
                  struct err *err);

/* Trusts what is in a PEM file, which is read when first a CA is wanted that the store, and the folders it
 * has by now, do not know. Borrows: file, as long as store lives. Returns: 0, -1 without memory. Shape: it
 * need not exist. */
int tls_store_add_late(X509_STORE *store, const char *file);

/* For SSL_CTX_set_cert_verify_callback; argument: struct tls_trust. Leaves its verdict with the stream. */
int tls_verify(X509_STORE_CTX *store, void *argument);

/* Turns a verdict into reason and sentence. whose: the host, or NULL on the server's side. */
int tls_verdict_tell(const struct tls_verdict *verdict, const char *whose, struct err *err);

/* The same in a few words, of a code that a session may remember: "expired", "a CA above it: expired".
 * Returns: text. */
const char *tls_verdict_brief(int code, int depth, char *text, size_t room);
void tls_verdict_fini(struct tls_verdict *verdict);

/* The names in a certificate, printable: DNS and IP SANs, else its subject. Returns: text. */
const char *tls_certificate_names(X509 *certificate, char *text, size_t room);

/* Appends the names of the kinds that count, DNS and IP. Returns: how many there are. */
int tls_certificate_alternative_names(X509 *certificate, char *text, size_t room);
const char *tls_name_text(const X509_NAME *name, char *text, size_t room);
int tls_certificate_pin(X509 *certificate, struct tls_pin *pin);
int64_t tls_seconds(const ASN1_TIME *time); /* 0 where it is not a time */

/*
 * The streams of one thread that keep OpenSSL's buffers between two records: those used of late. All others
 * give theirs back, which makes an idle connection small and costs two large allocations a record. Starts as
 * {0}. Invariant: streams[s->slot] == s for each stream that is warm.
 */
enum { TLS_WARM_MAX = 128 }; /* of at most 34 KiB each */

struct tls_warm {
    struct stream_tls *streams[TLS_WARM_MAX];
    unsigned next; /* the slot whose stream has been warm for longest */
};

/* Takes: lower and ssl, also on failure. Borrows: warm, until the stream is freed. whose: copied. */
struct stream *stream_tls_new(struct stream *lower, SSL *ssl, const char *whose, struct tls_warm *warm,
                              struct err *err);

/* The verdict that a stream keeps; NULL where ssl belongs to none. */
struct tls_verdict *stream_tls_verdict(SSL *ssl);

/* The host that a stream was made for; "" where there is none. */
const char *stream_tls_whose(SSL *ssl);

/* What was agreed, of a handshake that is done. Shape: facts are {0} before. */
void tls_facts_agreed(SSL *ssl, struct stream_tls_facts *facts);

/* What the peer has sent of itself. Returns: whether it sent a certificate. Shape: verdict: what is kept of a
 * handshake that is not done; without a certificate in it, OpenSSL is asked. */
bool tls_facts_peer(SSL *ssl, const struct tls_verdict *verdict, struct stream_tls_facts *facts);

/* Says what OpenSSL's error queue holds, and empties it. Returns: -1. */
int tls_fail(struct err *err, enum err_reason reason, const char *doing);

/* The limits and orders that both roles share. */
SSL_CTX *tls_context_new(const SSL_METHOD *method, const struct tls_policy *policy, struct err *err);

/* Returns: the environment's value; NULL where there is none, or where the program runs with the rights of
 * another user than its caller. Source: secure_getenv(3). */
const char *tls_getenv(const char *name);

/* "h2,http/1.1" in the wire's form. Returns: length, 0 on failure. */
size_t tls_alpn_wire(const char *list, unsigned char *wire, size_t room, struct err *err);

/* Refuses a file that others than its owner can read, or its group write. Errors: system-permission. */
int tls_check_mode(const char *what, const char *path, const struct file *file, struct err *err);

/* Returns: a BIO that reads what was read of a file; NULL with err. Borrows: file. */
BIO *tls_file_bio(const struct file *file, struct err *err);

/* Session tickets: installs the callback, and the keys into the context's keeping. Shape: config NULL: not
 * from a file. */
int tls_tickets_install(SSL_CTX *context, const struct tls_server_config *config, struct err *err);
void tls_tickets_copy(SSL_CTX *context, SSL_CTX *from);
void tls_tickets_inherit(SSL_CTX *context, SSL_CTX *previous);

/* The trace of TLS messages. */
void tls_trace_message(int fd, int sent, int content_type, const unsigned char *bytes, size_t length);
void tls_trace_agreed(int fd, const struct stream_tls_facts *facts, uint64_t begin_ns);

#endif
