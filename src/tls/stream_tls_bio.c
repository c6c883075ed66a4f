#include "connection.h"

#include <openssl/err.h>
#include <string.h>
#include <uv.h>

#include "tcpgreet/base/trace.h"

/* Returns: as BIO_read and BIO_write: 1, 0 at the end, else -1: SSL_shutdown takes a 0 for success. */
static int bio_result(BIO *bio, struct stream_tls *tls, enum stream_result result)
{
    BIO_clear_retry_flags(bio);
    tls->lower_ended = tls->lower_ended || result == STREAM_EOF;
    if (result == STREAM_WANT_READ)
        BIO_set_retry_read(bio);
    else if (result == STREAM_WANT_WRITE)
        BIO_set_retry_write(bio);
    return result == STREAM_OK ? 1 : result == STREAM_EOF ? 0 : -1;
}

void stream_tls_keep_first(struct stream_tls *tls, const char *data, size_t count)
{
    size_t room = sizeof tls->first - tls->first_count;
    size_t kept = count < room ? count : room;
    memcpy(tls->first + tls->first_count, data, kept);
    tls->first_count = (uint8_t)(tls->first_count + kept);
}

static void note_answer(struct stream_tls *tls)
{
    if (tls->sent_ns > 0)
        tls->answered_ns = uv_hrtime() - tls->sent_ns;
    tls->sent_ns = 0;
}

static enum trace_bytes kind_of_bytes(const struct stream_tls *tls)
{
    return tls->progress < STREAM_TLS_UP ? TRACE_BYTES_HANDSHAKE : TRACE_BYTES_ENCRYPTED;
}

/* What was read before there was a reader. */
static int read_first(BIO *bio, struct stream_tls *tls, char *data, size_t room, size_t *count)
{
    *count = room < tls->unread ? room : tls->unread;
    memcpy(data, tls->first + tls->first_count - tls->unread, *count);
    tls->unread = (uint8_t)(tls->unread - *count);
    tls->ahead = true;
    return bio_result(bio, tls, STREAM_OK);
}

static int bio_read(BIO *bio, char *data, size_t room, size_t *count)
{
    struct stream_tls *tls = BIO_get_data(bio);
    *count = 0;
    if (tls->flood > STREAM_TLS_FLOOD_MAX) {
        err_set(tls->err, ERR_TLS_PROTOCOL, 0, "the peer floods this side with handshake messages");
        return bio_result(bio, tls, STREAM_FAILED);
    }
    if (tls->unread > 0)
        return read_first(bio, tls, data, room, count);
    enum stream_result result = STREAM_WANT_READ;
    trace_bytes_are(kind_of_bytes(tls));
    if (!tls->lower_drained)
        result = stream_read(tls->lower, data, room, count, tls->err);
    trace_bytes_are(TRACE_BYTES_PLAIN);
    tls->ahead = result == STREAM_OK;
    tls->lower_drained = result == STREAM_OK && !tls->lower->more;
    if (result == STREAM_OK && tls->progress < STREAM_TLS_UP) {
        stream_tls_keep_first(tls, data, *count);
        note_answer(tls);
    }
    return bio_result(bio, tls, result);
}

static int bio_write(BIO *bio, const char *data, size_t length, size_t *count)
{
    struct stream_tls *tls = BIO_get_data(bio);
    struct err ignored;
    bool is_last_alert = ERR_peek_error() != 0; /* its cause is reported, not that it cannot be sent */
    *count = 0;
    err_clear(&ignored);
    tls->lower->corked = tls->base.corked;
    if (tls->progress == STREAM_TLS_SHAKING && tls->whose == NULL) /* a ticket waits for the first data */
        tls->lower->corked = SSL_get_state(tls->ssl) == TLS_ST_SW_SESSION_TICKET;
    trace_bytes_are(kind_of_bytes(tls));
    enum stream_result result =
        stream_write(tls->lower, data, length, count, is_last_alert ? &ignored : tls->err);
    trace_bytes_are(TRACE_BYTES_PLAIN);
    if (tls->progress < STREAM_TLS_UP)
        tls->sent_ns = uv_hrtime();
    return bio_result(bio, tls, result);
}

static long bio_ctrl(BIO *bio, int command, long number, void *pointer)
{
    struct stream_tls *tls = BIO_get_data(bio);
    (void)number;
    (void)pointer;
    switch (command) {
    case BIO_CTRL_FLUSH:
        return 1;
    case BIO_CTRL_EOF:
        return tls->lower_ended;
    default:
        return 0;
    }
}

static BIO_METHOD *bio_method;

/* Without BIO_get_new_index, which fails for ever where it first lacks memory: nothing looks for this type.
 */
static bool make_bio_method(void)
{
    bio_method = BIO_meth_new(BIO_TYPE_SOURCE_SINK, "stream");
    if (bio_method != NULL &&
        (!BIO_meth_set_read_ex(bio_method, bio_read) || !BIO_meth_set_write_ex(bio_method, bio_write) ||
         !BIO_meth_set_ctrl(bio_method, bio_ctrl))) {
        BIO_meth_free(bio_method);
        bio_method = NULL;
    }
    return bio_method != NULL;
}

BIO *stream_tls_bio(struct stream_tls *tls)
{
    static struct tls_once once = TLS_ONCE_INIT;
    BIO *bio = tls_once(&once, make_bio_method) ? BIO_new(bio_method) : NULL;
    if (bio != NULL) {
        BIO_set_data(bio, tls);
        BIO_set_init(bio, 1);
    }
    return bio;
}
