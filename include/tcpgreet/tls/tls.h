/* TLS policy and identities: what is offered, own certificates, trust anchors. Without OpenSSL, each fails
 * with a message. */
#ifndef TCPGREET_TLS_TLS_H
#define TCPGREET_TLS_TLS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "tcpgreet/base/err.h"
#include "tcpgreet/core/stream.h"

enum {
    TLS_PIN_BYTES = 32,
    TLS_PIN_TEXT_BYTES = 2 * TLS_PIN_BYTES + 8,
    TLS_PINS_MAX = 16,
    TLS_FILES_MAX = 16
};

/* SHA-256 of a certificate's SubjectPublicKeyInfo. */
struct tls_pin {
    unsigned char sha256[TLS_PIN_BYTES];
};

struct tls_pins {
    size_t count;
    struct tls_pin list[TLS_PINS_MAX];
};

/* A certificate chain and its key, PEM. Shape: key NULL: it is in cert. */
struct tls_files {
    const char *cert;
    const char *key;
};

/* What both roles share. Texts are borrowed as long as what is made of them. */
struct tls_policy {
    bool tls13_only;             /* else TLS 1.2 and 1.3 */
    const char *alpn;            /* comma-separated, most wanted first; NULL */
    const char *passphrase_file; /* NULL: an encrypted key is asked for on the terminal, if may_ask */
    const char *crl; /* file of revocation lists that certificates of peers are checked against; NULL */
    bool may_ask;    /* the caller can wait for a person */
    bool insecure;   /* client: accept any certificate; server: accept key files that others can read */
};

struct tls_client_config {
    struct tls_policy policy;
    const char *ca;         /* file or directory; NULL: the system's trust store */
    const char *servername; /* NULL: the host that is connected to */
    struct tls_pins pins;   /* one must match; without `ca` it also replaces the checks of chain and name */
    struct tls_files identity; /* cert NULL: none */
};

enum tls_client_auth { TLS_CLIENT_AUTH_NONE, TLS_CLIENT_AUTH_REQUEST, TLS_CLIENT_AUTH_REQUIRE };

struct tls_server_config {
    struct tls_policy policy;
    struct tls_files identities[TLS_FILES_MAX]; /* up to the first without cert; none: one made in memory */
    const char *client_ca;                      /* file or directory */
    enum tls_client_auth client_auth;
    const char *ticket_keys; /* file of 80-byte keys, the first encrypts; NULL: own keys, new every hour */
};

/* Our side's context, shared by its streams, used by one thread at a time. */
struct tls_client;
struct tls_server;

/* Returns: the context, or NULL. Errors: system-file: cannot be read, does not fit; usage: alpn; internal. */
struct tls_client *tls_client_new(const struct tls_client_config *config, struct err *err);

/* A stream to host over lower. Verifies by RFC 5280 and RFC 9525; an IP literal against IP SANs, without SNI.
 * Takes: lower, also on failure. Borrows: client, until the stream is freed. Shape: host as the user gave it.
 * Returns: the stream; NULL with err. */
struct stream *tls_client_stream(struct tls_client *client, struct stream *lower, const char *host,
                                 struct err *err);

/* The next stream makes a full handshake: the newest ticket is thrown away. */
void tls_client_forget(struct tls_client *client);

/* Shape: NULL is allowed. */
void tls_client_free(struct tls_client *client);

/* A place of its own for the newest ticket of one peer, so that several with one name are kept apart. */
struct tls_session;

/* Borrows: client. Returns: an empty one; NULL with err. Errors: internal. */
struct tls_session *tls_session_new(struct tls_client *client, struct err *err);

/* As tls_client_stream, but offers this session's ticket, and newer ones go there: with TLS 1.3 they come
 * after the handshake, and are taken by stream_read. Borrows: session, until the stream is freed. */
struct stream *tls_session_stream(struct tls_session *session, struct stream *lower, const char *host,
                                  struct err *err);

/* With TLS 1.3 a server gives a ticket after it has accepted the client's Finished and certificate, if it
 * requested one (RFC 8446 section 4.6.1). Calls back: came, inside stream_read, at each; NULL: no more. */
void tls_session_await_ticket(struct tls_session *session, void (*came)(void *context), void *context);

/* Returns: whether a peer gave one. */
bool tls_session_has_ticket(const struct tls_session *session);

/* Shape: NULL is allowed. */
void tls_session_free(struct tls_session *session);

/* Returns: the context, or NULL, and then nothing has changed. Errors: as tls_client_new. */
struct tls_server *tls_server_new(const struct tls_server_config *config, struct err *err);

/* The same identities, policy and ticket keys again, sharing nothing: OpenSSL's contexts contend among
 * threads. config is what the original was made of, its files are not read again. Errors: internal. */
struct tls_server *tls_server_copy(const struct tls_server *server, const struct tls_server_config *config,
                                   struct err *err);

/* Takes over the ticket keys of the server that this one replaces, unless they come from a file. */
void tls_server_inherit(struct tls_server *server, struct tls_server *previous);

/* Takes: lower, also on failure. The stream holds what it needs of server. Returns: the stream; NULL with
 * err. */
struct stream *tls_server_stream(struct tls_server *server, struct stream *lower, struct err *err);

/* Running streams go on. Shape: NULL is allowed. */
void tls_server_free(struct tls_server *server);

/* What a server's operator wants to know of one identity. */
struct tls_identity_facts {
    char names[256];
    int64_t not_after; /* seconds since 1970 */
    char
        expires_first[160]; /* the CA certificate above it, of those sent, that expires sooner; "" for none */
    int64_t expires_first_at;     /* when */
    char pin[TLS_PIN_TEXT_BYTES]; /* "sha256:..." */
};

/* Returns: false beyond the last. */
bool tls_server_identity(const struct tls_server *server, size_t index, struct tls_identity_facts *facts);

/* Where the system's trust store is: SSL_CERT_FILE and SSL_CERT_DIR, which may be a list with colons, or
 * OpenSSL's own places. Shape: NULL without TLS. */
const char *tls_store_file(void);
const char *tls_store_directory(void);

/* A certificate that a server sends. */
struct tls_chain_facts {
    char subject[160];
    int64_t not_after; /* seconds since 1970 */
};

/* Shape: index as tls_server_identity; depth 0: its own, then those that are sent along, in their order.
 * Returns: false beyond the last. */
bool tls_server_chain(const struct tls_server *server, size_t index, size_t depth,
                      struct tls_chain_facts *facts);

/* "sha256:" and 64 hexadecimal digits. Returns: 0, or -1 where text is not of that form. Also without TLS. */
int tls_pin_parse(const char *text, struct tls_pin *pin);
void tls_pin_format(const struct tls_pin *pin, char text[TLS_PIN_TEXT_BYTES]);

/* Returns: the number of an alert by its name in RFC 8446 section 6, such as "certificate_required"; -1. The
 * name; NULL where there is none. Also without TLS. */
int tls_alert_parse(const char *name);
const char *tls_alert_name(int alert);

/* From now on a failure for want of memory is reported as that (internal), whatever OpenSSL makes of it.
 * Called before anything of OpenSSL's, which takes it once: else it does nothing. */
void tls_watch_memory(void);

/* Returns: 0, or -1 where this program was built without TLS. Errors: usage. */
int tls_available(struct err *err);

/* Writes the line of --version. */
void tls_version_put(FILE *out);

#endif
