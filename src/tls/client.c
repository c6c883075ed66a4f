#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "context.h"
#include "identity.h"
#include "memory.h"
#include "ocsp.h"
#include "store.h"
#include "stream_tls_new.h"
#include "tcpgreet/base/idn.h"
#include "tcpgreet/base/obstacle.h"
#include "verdict.h"
#include "verify.h"

enum { ALPN_BYTES = 512, HOST_BYTES = 256 };

/* Invariant: ticket == NULL, or host is the name whose certificate was verified: the ticket is used for no
 * other. */
struct tls_session {
    struct tls_client *client;
    SSL_SESSION *ticket; /* the newest */
    char host[HOST_BYTES];
    void (*came)(void *context); /* one more; NULL */
    void *context;
};

struct tls_client {
    SSL_CTX *context;
    struct tls_session newest; /* of all streams that have no session of their own */
    const char *servername;
    FILE *key_log;
    struct tls_retained retained;
    struct tls_trust trust;
};

/* NSS key log, SSLKEYLOGFILE: one line a secret. */
static void on_key_line(const SSL *ssl, const char *line)
{
    const struct tls_client *client = SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl));
    fprintf(client->key_log, "%s\n", line);
}

static int open_key_log(struct tls_client *client, struct err *err)
{
    const char *path = tls_getenv("SSLKEYLOGFILE");
    char text[OBSTACLE_BYTES];
    if (path == NULL || path[0] == '\0')
        return 0;
    /* This file makes it possible to decrypt the connection. A FIFO that no process reads is not waited for.
     */
    int fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NONBLOCK | O_NOCTTY, S_IRUSR | S_IWUSR);
    int why = fd < 0 ? errno : obstacle_of_space(fd);
    if (why == 0 && (client->key_log = fdopen(fd, "a")) == NULL)
        why = errno;
    if (why != 0 && fd >= 0)
        (void)close(fd);
    if (why != 0)
        return err_set(err, ERR_SYSTEM_FILE, why, "cannot write to SSLKEYLOGFILE %s: %s", path,
                       obstacle_text(path, why, text));
    setvbuf(client->key_log, NULL, _IOLBF, 0);
    SSL_CTX_set_keylog_callback(client->context, on_key_line);
    return 0;
}

static int session_index;

static bool make_index(void)
{
    session_index = SSL_get_ex_new_index(0, NULL, NULL, NULL, NULL);
    return session_index >= 0;
}

/* Keeps a copy: OpenSSL marks the original as not resumable where its connection is cut off. */
static int on_session(SSL *ssl, SSL_SESSION *given)
{
    struct tls_session *session = SSL_get_ex_data(ssl, session_index);
    ERR_set_mark(); /* without a ticket the next handshake is a full one, and that is all */
    SSL_SESSION *copy = SSL_SESSION_dup(given);
    ERR_pop_to_mark();
    if (copy == NULL)
        return 0;
    SSL_SESSION_free(session->ticket);
    session->ticket = copy;
    snprintf(session->host, sizeof session->host, "%s", tls_verdict_of(ssl)->whose);
    if (session->came != NULL)
        session->came(session->context);
    return 0; /* the original stays OpenSSL's */
}

static int use_identity(SSL_CTX *context, const struct tls_client_config *config, struct err *err)
{
    struct tls_identity identity;
    if (config->identity.cert == NULL)
        return 0;
    if (tls_identity_load(&identity, &config->identity, &config->policy, err) < 0)
        return -1;
    int used = SSL_CTX_use_cert_and_key(context, identity.certificate, identity.key, identity.chain, 1);
    tls_identity_fini(&identity);
    return used == 1 ? 0 : tls_fail(err, ERR_SYSTEM_FILE, "using the client certificate");
}

static int use_alpn(SSL_CTX *context, const char *list, struct err *err)
{
    unsigned char wire[ALPN_BYTES];
    if (list == NULL)
        return 0;
    size_t length = tls_alpn_wire(list, wire, sizeof wire, err);
    if (length == 0)
        return -1;
    return SSL_CTX_set_alpn_protos(context, wire, (unsigned)length) == 0
               ? 0
               : tls_fail(err, ERR_INTERNAL, "ALPN");
}

static int configure(struct tls_client *client, const struct tls_client_config *config, struct err *err)
{
    client->context = tls_context_new(TLS_client_method(), &config->policy, err);
    if (client->context == NULL)
        return -1;
    if (SSL_CTX_set_app_data(client->context, client) != 1)
        return tls_fail(err, ERR_INTERNAL, "making a TLS context");
    SSL_CTX_set_verify(client->context, SSL_VERIFY_PEER, NULL);
    SSL_CTX_set_cert_verify_callback(client->context, tls_verify, &client->trust);
    SSL_CTX_set_session_cache_mode(client->context, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
    SSL_CTX_sess_set_new_cb(client->context, on_session);
    if (!config->policy.insecure && tls_store_load(client->context, config->ca, err) < 0)
        return -1;
    if (!config->policy.insecure && tls_ocsp_request(client->context) < 0)
        return tls_fail(err, ERR_INTERNAL, "setting the TLS policy");
    if (config->policy.crl != NULL &&
        tls_store_add_crls(client->context, "--crl", config->policy.crl, err) < 0)
        return -1;
    if (use_identity(client->context, config, err) < 0 ||
        use_alpn(client->context, config->policy.alpn, err) < 0)
        return -1;
    return open_key_log(client, err);
}

struct tls_client *tls_client_new(const struct tls_client_config *config, struct err *err)
{
    static struct tls_once once = TLS_ONCE_INIT;
    struct tls_client *client = calloc(1, sizeof *client);
    if (client == NULL || !tls_once(&once, make_index)) {
        free(client);
        err_set(err, ERR_INTERNAL, ENOMEM, "no memory for TLS");
        return NULL;
    }
    client->newest.client = client;
    client->servername = config->servername;
    client->trust = (struct tls_trust){.pins = config->pins,
                                       .accept_all = config->policy.insecure,
                                       .system_store = config->ca == NULL,
                                       .pins_stand_alone = config->pins.count > 0 && config->ca == NULL};
    tls_memory_begin();
    if (tls_context_check(configure(client, config, err), err) == 0)
        return client;
    tls_client_free(client);
    return NULL;
}

static void forget(struct tls_session *session)
{
    SSL_SESSION_free(session->ticket);
    session->ticket = NULL;
}

void tls_client_forget(struct tls_client *client)
{
    forget(&client->newest);
}

void tls_client_free(struct tls_client *client)
{
    if (client == NULL)
        return;
    forget(&client->newest);
    SSL_CTX_free(client->context);
    if (client->key_log != NULL)
        (void)fclose(client->key_log); /* each line went out as it came */
    free(client);
}

static bool is_address(const char *host)
{
    unsigned char binary[sizeof(struct in6_addr)];
    return inet_pton(AF_INET, host, binary) == 1 || inet_pton(AF_INET6, host, binary) == 1;
}

/* The name as certificates have it: A-labels, no trailing dot, no zone. */
static int canonical_host(const char *host, char *name, size_t room, struct err *err)
{
    const char *why;
    enum idn_result result = idn_to_ascii(host, name, room, &why);

    if (result == IDN_NOT_AVAILABLE)
        return err_set(err, ERR_INTERNAL, 0, "cannot convert the host name: %s", why);
    bool fits = result == IDN_OK ||
                snprintf(name, room, "%s", host) < (int)room; /* which is the name of no certificate */
    if (strchr(host, ':') != NULL)
        name[strcspn(name, "%")] = '\0';
    for (char *letter = name; *letter != '\0'; letter++)
        *letter = (char)tolower((unsigned char)*letter);
    if (!fits)
        return err_set_facts(err, ERR_CERT_NAME, &(struct err_facts){.detail = ERR_DETAIL_HOST_UNFIT},
                             "no certificate can be for a host name of %zu bytes", strlen(host));
    size_t length = strlen(name);
    if (length > 1 && name[length - 1] == '.')
        name[length - 1] = '\0';
    if (name[0] == '\0' || name[0] == '.') /* to OpenSSL: any name, any name below */
        return err_set_facts(err, ERR_CERT_NAME,
                             &(struct err_facts){.detail = ERR_DETAIL_HOST_UNFIT, .name = name},
                             "no certificate can be for the host \"%s\"", name);
    return 0;
}

static int expect_host(SSL *ssl, const char *name, struct err *err)
{
    X509_VERIFY_PARAM *verify = SSL_get0_param(ssl);
    int set;

    X509_VERIFY_PARAM_set_hostflags(verify, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS |
                                                X509_CHECK_FLAG_NEVER_CHECK_SUBJECT);
    if (is_address(name))
        set = X509_VERIFY_PARAM_set1_ip_asc(verify, name);
    else
        set = X509_VERIFY_PARAM_set1_host(verify, name, 0) == 1 && SSL_set_tlsext_host_name(ssl, name) == 1;
    return set == 1 ? 0 : tls_fail(err, ERR_INTERNAL, "setting the name to expect");
}

/* A copy: OpenSSL's client uses a TLS 1.3 session once, and streams side by side may all want to resume this
 * one. */
static void offer_ticket(const struct tls_session *session, SSL *ssl)
{
    SSL_SESSION *copy = session->ticket != NULL ? SSL_SESSION_dup(session->ticket) : NULL;
    if (copy != NULL)
        SSL_set_session(ssl, copy);
    SSL_SESSION_free(copy);
    ERR_clear_error(); /* without one the handshake is a full one */
}

struct stream *tls_session_stream(struct tls_session *session, struct stream *lower, const char *host,
                                  struct err *err)
{
    char name[HOST_BYTES];
    const char *whose = session->client->servername != NULL ? session->client->servername : host;
    SSL *ssl = tls_connection_new(session->client->context, SSL_set_connect_state, err);

    if (ssl != NULL && SSL_set_ex_data(ssl, session_index, session) != 1)
        tls_fail(err, ERR_INTERNAL, "making a TLS connection");
    else if (ssl != NULL && canonical_host(whose, name, sizeof name, err) == 0 &&
             expect_host(ssl, name, err) == 0) {
        if (strcmp(session->host, name) == 0)
            offer_ticket(session, ssl);
        return stream_tls_new(lower, ssl, name, &session->client->retained, err);
    }
    SSL_free(ssl);
    stream_free(lower);
    return NULL;
}

struct stream *tls_client_stream(struct tls_client *client, struct stream *lower, const char *host,
                                 struct err *err)
{
    return tls_session_stream(&client->newest, lower, host, err);
}

struct tls_session *tls_session_new(struct tls_client *client, struct err *err)
{
    struct tls_session *session = calloc(1, sizeof *session);
    if (session == NULL)
        err_set(err, ERR_INTERNAL, ENOMEM, "no memory for TLS");
    else
        session->client = client;
    return session;
}

void tls_session_await_ticket(struct tls_session *session, void (*came)(void *context), void *context)
{
    session->came = came;
    session->context = context;
}

bool tls_session_has_ticket(const struct tls_session *session)
{
    return session->ticket != NULL;
}

void tls_session_free(struct tls_session *session)
{
    if (session == NULL)
        return;
    forget(session);
    free(session);
}
