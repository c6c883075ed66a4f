#include "connection.h"

#include <errno.h>
#include <openssl/err.h>
#include <stdlib.h>
#include <string.h>

#include "facts.h"
#include "memory.h"
#include "tcpgreet/base/trace.h"
#include "trace.h"

static struct stream_tls *of(struct stream *stream)
{
    return (struct stream_tls *)stream;
}

static void on_message(int sent, int version, int content_type, const void *bytes, size_t length, SSL *ssl,
                       void *context)
{
    enum { EMPTY_CERTIFICATE_BYTES = 8 }; /* in TLS 1.3: the header, two lengths of nothing */
    struct stream_tls *tls = context;
    (void)version;
    (void)ssl;
    if (!sent && (content_type == SSL3_RT_HANDSHAKE || content_type == SSL3_RT_ALERT) &&
        tls->flood <= STREAM_TLS_FLOOD_MAX)
        tls->flood++;
    if (!sent && content_type == SSL3_RT_HANDSHAKE && length > 0 &&
        *(const unsigned char *)bytes == SSL3_MT_CERTIFICATE_REQUEST)
        tls->is_requested = true;
    if (sent && content_type == SSL3_RT_HANDSHAKE && length > 0 &&
        *(const unsigned char *)bytes == SSL3_MT_CERTIFICATE) {
        tls->is_shown = length > EMPTY_CERTIFICATE_BYTES;
        tls->asked_in_vain = !tls->is_shown;
    }
    if (trace_sink != NULL)
        tls_trace_message(stream_fd(tls->lower), sent, content_type, bytes, length);
}

static void release_buffers(struct stream_tls *tls)
{
    tls->slot = TLS_RETAINED_MAX;
    SSL_set_mode(tls->ssl, SSL_MODE_RELEASE_BUFFERS); /* also those that hold half a record now */
    SSL_free_buffers(tls->ssl);
}

static void retain_buffers(struct stream_tls *tls)
{
    struct tls_retained *retained = tls->retained;
    if (retained->streams[retained->next] != NULL)
        release_buffers(retained->streams[retained->next]);
    retained->streams[retained->next] = tls;
    tls->slot = (uint8_t)retained->next;
    retained->next = (retained->next + 1) % TLS_RETAINED_MAX;
    SSL_clear_mode(tls->ssl, SSL_MODE_RELEASE_BUFFERS);
}

/* Before each call: the queue holds nothing of others, and failures below are noted in err. */
static void begin(struct stream_tls *tls, struct err *err)
{
    if (tls->slot == TLS_RETAINED_MAX)
        retain_buffers(tls);
    if (ERR_peek_error() != 0)
        ERR_clear_error();
    tls_memory_begin();
    tls->err = err;
}

/* After each call. What OpenSSL has read ahead, decrypted or not, wakes no poll. SSL_has_pending is asked
 * after a read only: from 3.2 on it does not see what was read ahead of a change of keys. */
static void end(struct stream_tls *tls)
{
    tls->lower_drained = false;
    tls->base.more = tls->ahead || tls->lower->more;
}

/* OpenSSL's result of a call as one of the five results. */
static enum stream_result result_of(struct stream_tls *tls, int returned, const char *doing, struct err *err)
{
    switch (SSL_get_error(tls->ssl, returned)) {
    case SSL_ERROR_NONE:
        err_clear(err); /* a ticket that could not be sent to a client that has left */
        return STREAM_OK;
    case SSL_ERROR_WANT_READ:
        return STREAM_WANT_READ;
    case SSL_ERROR_WANT_WRITE:
        return STREAM_WANT_WRITE;
    case SSL_ERROR_ZERO_RETURN:
        if (err->reason == ERR_OK)
            return STREAM_EOF;
        return stream_tls_fail(tls, doing, err); /* the peer has ended its side, and now this one fails */
    default:
        return stream_tls_fail(tls, doing, err);
    }
}

static enum stream_result handshake(struct stream *stream, bool expired, struct err *err)
{
    struct stream_tls *tls = of(stream);
    if (expired)
        return tls->progress >= STREAM_TLS_UP ? STREAM_OK : stream_tls_expire(tls, err);
    if (tls->progress == STREAM_TLS_NEW) {
        enum stream_result lower = stream_handshake(tls->lower, err);
        if (lower == STREAM_FAILED && err->reason == ERR_DIALOGUE_RESET)
            stream_tls_fail_cut(tls, err);
        if (lower == STREAM_OK && tls->ssl == NULL)
            lower = stream_tls_await_client(tls, err);
        tls->base.more = false;
        if (lower != STREAM_OK)
            return lower;
        tls->begin_ns = trace_begin();
        tls->progress = STREAM_TLS_SHAKING;
    }
    if (tls->progress == STREAM_TLS_QUOTING)
        return stream_tls_quote(tls, err);
    begin(tls, err);
    int returned = SSL_do_handshake(tls->ssl);
    end(tls);
    tls->was_short = tls->was_short || tls_memory_is_short();
    if (stream_tls_is_to_quote(tls) && err->reason == ERR_OK)
        return stream_tls_quote(tls, err);
    enum stream_result result = result_of(tls, returned, "the TLS handshake", err);
    if (result == STREAM_EOF) {
        err_set(err, ERR_TLS_PROTOCOL, 0, "the peer ended TLS during the handshake");
        return STREAM_FAILED;
    }
    if (result == STREAM_OK) {
        tls->progress = STREAM_TLS_UP;
        tls->flood = 0;
        tls_verdict_fini(&tls->verdict);
        if (trace_sink != NULL) {
            struct stream_tls_facts facts;
            stream_tls_facts(stream, &facts);
            tls_trace_agreed(stream_fd(tls->lower), &facts, tls->begin_ns);
        }
    }
    return result;
}

static enum stream_result read_tls(struct stream *stream, void *data, size_t room, size_t *count,
                                   struct err *err)
{
    struct stream_tls *tls = of(stream);
    begin(tls, err);
    int returned = SSL_read_ex(tls->ssl, data, room, count);
    if (returned == 1) {
        tls->flood = 0;
        tls->asked_in_vain = tls->was_short = false;
        tls->ahead = SSL_has_pending(tls->ssl) != 0;
    }
    end(tls);
    return returned == 1 ? STREAM_OK : result_of(tls, returned, "reading", err);
}

static enum stream_result write_tls(struct stream *stream, const void *data, size_t length, size_t *count,
                                    struct err *err)
{
    struct stream_tls *tls = of(stream);
    /* A record at a time, and the same one again: of several, OpenSSL would report when all are written. */
    size_t offered = length < SSL3_RT_MAX_PLAIN_LENGTH ? length : SSL3_RT_MAX_PLAIN_LENGTH;
    if (tls->pending > 0 && tls->pending < offered)
        offered = tls->pending;

    begin(tls, err);
    int returned = SSL_write_ex(tls->ssl, data, offered, count);
    end(tls);
    enum stream_result result = returned == 1 ? STREAM_OK : result_of(tls, returned, "writing", err);
    tls->pending = result == STREAM_WANT_READ || result == STREAM_WANT_WRITE ? (uint16_t)offered : 0;
    if (result == STREAM_EOF) {
        err_set(err, ERR_DIALOGUE_RESET, 0, "the peer closed the connection and accepts no more data");
        return STREAM_FAILED;
    }
    return result;
}

static enum stream_result shutdown_tls(struct stream *stream, struct err *err)
{
    struct stream_tls *tls = of(stream);
    if (tls->progress == STREAM_TLS_UP) {
        begin(tls, err);
        int returned = SSL_shutdown(tls->ssl);
        end(tls);
        if (returned < 0) {
            enum stream_result result = result_of(tls, returned, "ending TLS", err);
            if (result != STREAM_OK && result != STREAM_EOF)
                return result;
        }
        tls->progress = STREAM_TLS_CLOSE_SENT;
    }
    return stream->half_close ? STREAM_OK : stream_shutdown(tls->lower, err);
}

static int fd(const struct stream *stream)
{
    return stream_fd(((const struct stream_tls *)stream)->lower);
}

static void free_tls(struct stream *stream)
{
    struct stream_tls *tls = of(stream);
    if (tls->slot < TLS_RETAINED_MAX)
        tls->retained->streams[tls->slot] = NULL;
    SSL_free(tls->ssl);
    SSL_CTX_free(tls->context);
    tls_verdict_fini(&tls->verdict);
    stream_free(tls->lower);
    free(tls->whose);
    free(tls);
}

static struct stream *lower(const struct stream *stream)
{
    return ((const struct stream_tls *)stream)->lower;
}

static const struct stream_ops tls_ops = {
    .layer = STREAM_LAYER_TLS,
    .handshake = handshake,
    .read = read_tls,
    .write = write_tls,
    .shutdown = shutdown_tls,
    .fd = fd,
    .free = free_tls,
    .lower = lower,
};

/* Takes: ssl, also on failure. */
static int attach(struct stream_tls *tls, SSL *ssl, struct err *err)
{
    BIO *bio = stream_tls_bio(tls);
    if (bio == NULL || SSL_set_app_data(ssl, &tls->verdict) != 1) {
        tls_fail(err, ERR_INTERNAL, "making a TLS stream");
        BIO_free(bio);
        SSL_free(ssl);
        return -1;
    }
    tls->ssl = ssl;
    SSL_set_bio(ssl, bio, bio);
    SSL_set_msg_callback(ssl, on_message);
    SSL_set_msg_callback_arg(ssl, tls);
    return 0;
}

/* Takes: lower, also on failure. */
static struct stream_tls *allocate(struct stream *lower, struct tls_retained *retained, struct err *err)
{
    struct stream_tls *tls = calloc(1, sizeof *tls);
    if (tls == NULL) {
        err_set(err, ERR_INTERNAL, ENOMEM, "not enough memory for a TLS stream");
        stream_free(lower);
        return NULL;
    }
    *tls = (struct stream_tls){
        .base.ops = &tls_ops, .lower = lower, .retained = retained, .slot = TLS_RETAINED_MAX};
    return tls;
}

struct stream *stream_tls_new(struct stream *lower, SSL *ssl, const char *whose,
                              struct tls_retained *retained, struct err *err)
{
    struct stream_tls *tls = allocate(lower, retained, err);
    if (tls == NULL) {
        SSL_free(ssl);
        return NULL;
    }
    tls->whose = whose != NULL ? strdup(whose) : NULL;
    tls->verdict.whose = tls->whose;
    bool is_copied = whose == NULL || tls->whose != NULL;
    if (!is_copied) {
        err_set(err, ERR_INTERNAL, ENOMEM, "not enough memory for a TLS stream");
        SSL_free(ssl);
    }
    if (is_copied && attach(tls, ssl, err) == 0)
        return &tls->base;
    free_tls(&tls->base);
    return NULL;
}

struct stream *stream_tls_new_server(struct stream *lower, SSL_CTX *context, struct tls_retained *retained,
                                     struct err *err)
{
    struct stream_tls *tls = allocate(lower, retained, err);
    if (tls == NULL)
        return NULL;
    if (SSL_CTX_up_ref(context) != 1) {
        tls_fail(err, ERR_INTERNAL, "making a TLS stream");
        free_tls(&tls->base);
        return NULL;
    }
    tls->context = context;
    return &tls->base;
}

/* Takes as many first bytes as there is room for. */
static enum stream_result take_first(struct stream_tls *tls, struct err *err)
{
    char data[STREAM_TLS_FIRST_BYTES];
    size_t count;

    enum stream_result result = stream_read(tls->lower, data, sizeof data, &count, err);
    if (result != STREAM_OK)
        return result;
    stream_tls_keep_first(tls, data, count);
    tls->unread = tls->first_count;
    return STREAM_OK;
}

enum stream_result stream_tls_await_client(struct stream_tls *tls, struct err *err)
{
    trace_bytes_are(TRACE_BYTES_HANDSHAKE);
    enum stream_result result = take_first(tls, err);
    trace_bytes_are(TRACE_BYTES_PLAIN);
    if (result == STREAM_WANT_READ || result == STREAM_WANT_WRITE)
        return result;
    tls->lower_ended = result == STREAM_EOF;
    if (result != STREAM_OK || !stream_tls_is_used(tls))
        return stream_tls_fail(tls, "the TLS handshake", err);
    SSL *ssl = tls_connection_new(tls->context, SSL_set_accept_state, err);
    if (ssl == NULL || attach(tls, ssl, err) < 0)
        return STREAM_FAILED;
    SSL_CTX_free(tls->context);
    tls->context = NULL;
    return STREAM_OK;
}

bool stream_tls_facts(const struct stream *stream, struct stream_tls_facts *facts)
{
    const struct stream_tls *tls = (const struct stream_tls *)stream_find(stream, STREAM_LAYER_TLS);
    *facts = (struct stream_tls_facts){0};
    if (tls == NULL)
        return false;
    if (tls->progress < STREAM_TLS_UP)
        return tls->verdict.leaf != NULL && tls_facts_peer(tls->ssl, &tls->verdict, facts);
    tls_facts_agreed(tls->ssl, facts);
    tls_facts_peer(tls->ssl, &tls->verdict, facts);
    return true;
}

bool stream_tls_resumed(const struct stream *stream)
{
    const struct stream_tls *tls = (const struct stream_tls *)stream_find(stream, STREAM_LAYER_TLS);
    return tls != NULL && tls->progress >= STREAM_TLS_UP && SSL_session_reused(tls->ssl) == 1;
}

uint64_t stream_tls_answered_ns(const struct stream *stream)
{
    const struct stream_tls *tls = (const struct stream_tls *)stream_find(stream, STREAM_LAYER_TLS);
    return tls != NULL ? tls->answered_ns : 0;
}

bool stream_tls_is_1_3(const struct stream *stream)
{
    const struct stream_tls *tls = (const struct stream_tls *)stream_find(stream, STREAM_LAYER_TLS);
    return tls != NULL && tls->progress >= STREAM_TLS_UP && SSL_version(tls->ssl) == TLS1_3_VERSION;
}

bool stream_tls_is_certificate_requested(const struct stream *stream)
{
    const struct stream_tls *tls = (const struct stream_tls *)stream_find(stream, STREAM_LAYER_TLS);
    return tls != NULL && tls->is_requested;
}
