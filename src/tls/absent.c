#include "tcpgreet/tls/stream_tls.h"
#include "tcpgreet/tls/tls.h"

void tls_watch_memory(void)
{
}

int tls_available(struct err *err)
{
    return err_set(err, ERR_USAGE, 0, "--tls is not available in this build (it needs OpenSSL 3)");
}

void tls_version_put(FILE *out)
{
    fprintf(out, "built without TLS\n");
}

bool stream_tls_facts(const struct stream *stream, struct stream_tls_facts *facts)
{
    (void)stream;
    *facts = (struct stream_tls_facts){0};
    return false;
}

bool stream_tls_is_1_3(const struct stream *stream)
{
    (void)stream;
    return false;
}

bool stream_tls_resumed(const struct stream *stream)
{
    (void)stream;
    return false;
}

uint64_t stream_tls_answered_ns(const struct stream *stream)
{
    (void)stream;
    return 0;
}

bool stream_tls_is_certificate_requested(const struct stream *stream)
{
    (void)stream;
    return false;
}

void tls_client_forget(struct tls_client *client)
{
    (void)client;
}

struct tls_client *tls_client_new(const struct tls_client_config *config, struct err *err)
{
    (void)config;
    tls_available(err);
    return NULL;
}

struct stream *tls_client_stream(struct tls_client *client, struct stream *lower, const char *host,
                                 struct err *err)
{
    (void)client;
    (void)host;
    stream_free(lower);
    tls_available(err);
    return NULL;
}

void tls_client_free(struct tls_client *client)
{
    (void)client;
}

struct tls_session *tls_session_new(struct tls_client *client, struct err *err)
{
    (void)client;
    tls_available(err);
    return NULL;
}

struct stream *tls_session_stream(struct tls_session *session, struct stream *lower, const char *host,
                                  struct err *err)
{
    (void)session;
    return tls_client_stream(NULL, lower, host, err);
}

void tls_session_await_ticket(struct tls_session *session, void (*came)(void *context), void *context)
{
    (void)session, (void)came, (void)context; /* there is none */
}

bool tls_session_has_ticket(const struct tls_session *session)
{
    (void)session;
    return false;
}

void tls_session_free(struct tls_session *session)
{
    (void)session;
}

struct tls_server *tls_server_new(const struct tls_server_config *config, struct err *err)
{
    (void)config;
    tls_available(err);
    return NULL;
}

struct tls_server *tls_server_copy(const struct tls_server *server, const struct tls_server_config *config,
                                   struct err *err)
{
    (void)server;
    return tls_server_new(config, err);
}

void tls_server_inherit(struct tls_server *server, struct tls_server *previous)
{
    (void)server;
    (void)previous;
}

struct stream *tls_server_stream(struct tls_server *server, struct stream *lower, struct err *err)
{
    (void)server;
    stream_free(lower);
    tls_available(err);
    return NULL;
}

void tls_server_free(struct tls_server *server)
{
    (void)server;
}

bool tls_server_chain(const struct tls_server *server, size_t index, size_t depth,
                      struct tls_chain_facts *facts)
{
    (void)server;
    (void)index;
    (void)depth;
    (void)facts;
    return false;
}

bool tls_server_identity(const struct tls_server *server, size_t index, struct tls_identity_facts *facts)
{
    (void)server;
    (void)index;
    *facts = (struct tls_identity_facts){0};
    return false;
}

const char *tls_store_file(void)
{
    return NULL;
}

const char *tls_store_directory(void)
{
    return NULL;
}
