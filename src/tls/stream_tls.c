#include "tcpgreet/stream_tls.h"

#include <openssl/err.h>
#include <stdlib.h>
#include <string.h>

#include "tcpgreet/escape.h"
#include "tcpgreet/trace.h"
#include "tls_private.h"

enum progress { NEW, SHAKING, REFUSED, UP, CLOSE_SENT, DOWN };

/* Invariant: err is set only inside an operation. */
struct stream_tls {
    struct stream base;
    struct stream *lower;
    SSL *ssl;
    struct err *err; /* where the lower stream's failures go */
    char *whose;     /* the host, for sentences; NULL on the server's side */
    uint64_t begin_ns;
    struct tls_verdict verdict;
    struct tls_warm *warm;
    uint8_t slot;       /* in warm; TLS_WARM_MAX: it is cold */
    bool lower_ended;   /* the peer has sent its FIN */
    bool asked_in_vain; /* for a certificate that this side does not have; no data came since */
    uint8_t progress;
    uint8_t first_count;
    uint8_t flood;
    uint16_t pending;                            /* bytes of a write that waits */
    unsigned char first[STREAM_TLS_FIRST_BYTES]; /* what the peer said first */
};

static struct stream_tls *of(struct stream *stream)
{
    return (struct stream_tls *)stream;
}

/* The BIO below OpenSSL speaks the stream's five words. */

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

static void keep_first(struct stream_tls *tls, const char *data, size_t count)
{
    size_t room = sizeof tls->first - tls->first_count;
    size_t kept = count < room ? count : room;
    memcpy(tls->first + tls->first_count, data, kept);
    tls->first_count = (uint8_t)(tls->first_count + kept);
}

static int bio_read(BIO *bio, char *data, size_t room, size_t *count)
{
    struct stream_tls *tls = BIO_get_data(bio);
    *count = 0;
    if (tls->flood > STREAM_TLS_FLOOD_MAX) {
        err_set(tls->err, ERR_TLS_PROTOCOL, 0, "the peer floods this side with handshake messages");
        return bio_result(bio, tls, STREAM_FAILED);
    }
    enum stream_result result = stream_read(tls->lower, data, room, count, tls->err);
    if (result == STREAM_OK && tls->progress < UP)
        keep_first(tls, data, *count);
    return bio_result(bio, tls, result);
}

static int bio_write(BIO *bio, const char *data, size_t length, size_t *count)
{
    struct stream_tls *tls = BIO_get_data(bio);
    struct err ignored;
    bool is_last_alert = ERR_peek_error() != 0; /* what it is about counts, not whether it can be sent */
    *count = 0;
    err_clear(&ignored);
    if (tls->progress == SHAKING && tls->whose == NULL) /* a ticket waits for the server's first words */
        stream_cork(tls->lower, SSL_get_state(tls->ssl) == TLS_ST_SW_SESSION_TICKET);
    return bio_result(bio, tls,
                      stream_write(tls->lower, data, length, count, is_last_alert ? &ignored : tls->err));
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

static void make_bio_method(void)
{
    bio_method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "stream");
    if (bio_method != NULL &&
        (!BIO_meth_set_read_ex(bio_method, bio_read) || !BIO_meth_set_write_ex(bio_method, bio_write) ||
         !BIO_meth_set_ctrl(bio_method, bio_ctrl))) {
        BIO_meth_free(bio_method);
        bio_method = NULL;
    }
}

static BIO *bio_new(struct stream_tls *tls)
{
    static CRYPTO_ONCE once = CRYPTO_ONCE_STATIC_INIT;
    BIO *bio =
        CRYPTO_THREAD_run_once(&once, make_bio_method) && bio_method != NULL ? BIO_new(bio_method) : NULL;
    if (bio != NULL) {
        BIO_set_data(bio, tls);
        BIO_set_init(bio, 1);
    }
    return bio;
}

static void on_message(int sent, int version, int content_type, const void *bytes, size_t length, SSL *ssl,
                       void *context)
{
    struct stream_tls *tls = context;
    (void)version;
    if (!sent && (content_type == SSL3_RT_HANDSHAKE || content_type == SSL3_RT_ALERT) &&
        tls->flood <= STREAM_TLS_FLOOD_MAX)
        tls->flood++;
    if (!sent && content_type == SSL3_RT_HANDSHAKE && length > 0 &&
        *(const unsigned char *)bytes == SSL3_MT_CERTIFICATE_REQUEST && SSL_get_certificate(ssl) == NULL)
        tls->asked_in_vain = true;
    if (trace_sink != NULL)
        tls_trace_message(stream_fd(tls->lower), sent, content_type, bytes, length);
}

static void cool_down(struct stream_tls *tls)
{
    tls->slot = TLS_WARM_MAX;
    SSL_set_mode(tls->ssl, SSL_MODE_RELEASE_BUFFERS); /* also those that hold half a record now */
    SSL_free_buffers(tls->ssl);
}

static void warm_up(struct stream_tls *tls)
{
    struct tls_warm *warm = tls->warm;
    if (warm->streams[warm->next] != NULL)
        cool_down(warm->streams[warm->next]);
    warm->streams[warm->next] = tls;
    tls->slot = (uint8_t)warm->next;
    warm->next = (warm->next + 1) % TLS_WARM_MAX;
    SSL_clear_mode(tls->ssl, SSL_MODE_RELEASE_BUFFERS);
}

/* Before each call: the queue holds nothing of others, and failures below are noted in err. */
static void begin(struct stream_tls *tls, struct err *err)
{
    if (tls->slot == TLS_WARM_MAX)
        warm_up(tls);
    if (ERR_peek_error() != 0)
        ERR_clear_error();
    tls->err = err;
}

static bool speaks_tls(const struct stream_tls *tls)
{
    enum { CHANGE_CIPHER_SPEC = 20, APPLICATION_DATA = 23, MAJOR = 3 };
    return tls->first_count == 0 ||
           (tls->first[0] >= CHANGE_CIPHER_SPEC && tls->first[0] <= APPLICATION_DATA &&
            (tls->first_count < 2 || tls->first[1] == MAJOR));
}

static int fail_plaintext(const struct stream_tls *tls, struct err *err)
{
    char said[4 * STREAM_TLS_FIRST_BYTES + 4];
    escape_text((struct bytes){(const char *)tls->first, tls->first_count}, said, sizeof said);
    if (tls->whose != NULL)
        return err_set(
            err, ERR_TLS_PLAINTEXT_PEER, 0,
            "%s does not speak TLS at this port, it said \"%s\" (leave --tls out, or use the TLS port)",
            tls->whose, said);
    return err_set(err, ERR_TLS_PLAINTEXT_PEER, 0, "a client that does not speak TLS, it said \"%s\"", said);
}

/* An alert that the peer sent, in words. */
static int fail_alert(const struct stream_tls *tls, int alert, struct err *err)
{
    const char *name = SSL_alert_desc_string_long(alert);
    switch (alert) {
    case SSL_AD_PROTOCOL_VERSION:
        return err_set(err, ERR_TLS_PROTOCOL, alert, "the peer speaks no TLS version that this side allows");
    case SSL_AD_CERTIFICATE_REQUIRED:
        return err_set(err, ERR_TLS_CLIENT_CERTIFICATE, alert,
                       "the server requires a client certificate: give --cert and --key");
    case SSL_AD_BAD_CERTIFICATE:
    case SSL_AD_UNSUPPORTED_CERTIFICATE:
    case SSL_AD_CERTIFICATE_REVOKED:
    case SSL_AD_CERTIFICATE_EXPIRED:
    case SSL_AD_CERTIFICATE_UNKNOWN:
    case SSL_AD_UNKNOWN_CA:
        return err_set(err, tls->whose != NULL ? ERR_TLS_CLIENT_CERTIFICATE : ERR_TLS_ALERT, alert,
                       "the peer refused our certificate: %s", name);
    default:
        if (tls->asked_in_vain) /* TLS 1.2 has no alert of its own for that */
            return err_set(
                err, ERR_TLS_CLIENT_CERTIFICATE, alert,
                "the server asked for a client certificate and ended with the TLS alert \"%s\": give "
                "--cert and --key",
                name);
        return err_set(err, ERR_TLS_ALERT, alert, "the peer ended with the TLS alert \"%s\"", name);
    }
}

/* The connection ended in the handshake; on the server's side that may be a mere look at the port. */
static void fail_cut(const struct stream_tls *tls, struct err *err)
{
    err_clear(err);
    if (tls->whose == NULL && tls->first_count == 0)
        err_set(err, ERR_DIALOGUE_EARLY_END, 0, "the client went away without a byte");
    else if (!speaks_tls(tls))
        fail_plaintext(tls, err);
    else
        err_set(err, ERR_TLS_PROTOCOL, 0, "the peer cut the connection in the middle of the TLS handshake");
}

/* A failed call in words. What the lower stream or the verification has said already stays. */
static enum stream_result fail(struct stream_tls *tls, const char *doing, struct err *err)
{
    unsigned long code = ERR_peek_error();
    int reason = ERR_GET_REASON(code);
    bool shaking = tls->progress <= SHAKING;

    tls->progress = shaking ? REFUSED : DOWN;
    bool cut = tls->lower_ended || err->reason == ERR_DIALOGUE_RESET;
    if (cut && shaking) {
        fail_cut(tls, err);
    } else if (err->reason != ERR_OK) {
        /* the first to notice knows best */
    } else if (tls->verdict.code != X509_V_OK) {
        tls_verdict_tell(&tls->verdict, tls->whose, err);
    } else if (shaking && !speaks_tls(tls)) {
        fail_plaintext(tls, err);
    } else if (tls->lower_ended) {
        err_set(err, ERR_DIALOGUE_TRUNCATED, 0,
                "the stream was cut off: the peer ended it without close_notify");
    } else if (reason > SSL_AD_REASON_OFFSET && reason < SSL_AD_REASON_OFFSET + 256) {
        fail_alert(tls, reason - SSL_AD_REASON_OFFSET, err);
    } else if (reason == SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE) {
        err_set(err, ERR_TLS_CLIENT_CERTIFICATE, reason, "the client sent no certificate");
    } else {
        tls_fail(err, ERR_TLS_PROTOCOL, doing);
    }
    ERR_clear_error();
    return STREAM_FAILED;
}

/* OpenSSL's verdict on a call as one of the five words. */
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
        return fail(tls, doing, err); /* the peer has ended its side, and now this one fails */
    default:
        return fail(tls, doing, err);
    }
}

static enum stream_result handshake(struct stream *stream, struct err *err)
{
    struct stream_tls *tls = of(stream);
    if (tls->progress == NEW) {
        enum stream_result lower = stream_handshake(tls->lower, err);
        if (lower == STREAM_FAILED && err->reason == ERR_DIALOGUE_RESET)
            fail_cut(tls, err);
        if (lower != STREAM_OK)
            return lower;
        tls->begin_ns = trace_begin();
        tls->progress = SHAKING;
    }
    begin(tls, err);
    int returned = SSL_do_handshake(tls->ssl);
    enum stream_result result = result_of(tls, returned, "the TLS handshake", err);
    if (result == STREAM_EOF) {
        err_set(err, ERR_TLS_PROTOCOL, 0, "the peer ended TLS in the middle of the handshake");
        return STREAM_FAILED;
    }
    if (result == STREAM_OK) {
        tls->progress = UP;
        tls->flood = 0;
        stream_cork(tls->lower, false);
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
        tls->asked_in_vain = false;
        return STREAM_OK;
    }
    return result_of(tls, returned, "reading", err);
}

/* Also what OpenSSL has read ahead, decrypted or not, wakes no poll. */
static bool drained(struct stream *stream)
{
    struct stream_tls *tls = of(stream);
    return SSL_has_pending(tls->ssl) == 0 && stream_drained(tls->lower);
}

static enum stream_result write_tls(struct stream *stream, const void *data, size_t length, size_t *count,
                                    struct err *err)
{
    struct stream_tls *tls = of(stream);
    /* A record at a time, and the same one again: of several, OpenSSL would tell when all are written. */
    size_t offered = length < SSL3_RT_MAX_PLAIN_LENGTH ? length : SSL3_RT_MAX_PLAIN_LENGTH;
    if (tls->pending > 0 && tls->pending < offered)
        offered = tls->pending;

    begin(tls, err);
    int returned = SSL_write_ex(tls->ssl, data, offered, count);
    enum stream_result result = returned == 1 ? STREAM_OK : result_of(tls, returned, "writing", err);
    tls->pending = result == STREAM_WANT_READ || result == STREAM_WANT_WRITE ? (uint16_t)offered : 0;
    if (result == STREAM_EOF) {
        err_set(err, ERR_DIALOGUE_RESET, 0, "the peer has closed its side and takes nothing more");
        return STREAM_FAILED;
    }
    return result;
}

static void cork(struct stream *stream, bool corked)
{
    stream_cork(of(stream)->lower, corked);
}

static enum stream_result shutdown_tls(struct stream *stream, struct err *err)
{
    struct stream_tls *tls = of(stream);
    if (tls->progress == UP) {
        begin(tls, err);
        int returned = SSL_shutdown(tls->ssl);
        if (returned < 0) {
            enum stream_result result = result_of(tls, returned, "ending TLS", err);
            if (result != STREAM_OK && result != STREAM_EOF)
                return result;
        }
        tls->progress = CLOSE_SENT;
    }
    return stream_shutdown(tls->lower, err);
}

static void waiting(const struct stream *stream, struct err *err)
{
    const struct stream_tls *tls = (const struct stream_tls *)stream;
    const char *whose = tls->whose != NULL ? tls->whose : "the client";

    if (tls->progress == NEW)
        stream_waiting(tls->lower, err);
    else if (tls->first_count > 0 && !speaks_tls(tls))
        fail_plaintext(tls, err);
    else if (tls->first_count == 0)
        err_set(err, ERR_TLS_SILENT_PEER, 0, "%s says nothing in answer to the TLS handshake%s", whose,
                tls->whose != NULL ? " (it may not speak TLS at this port)" : "");
    else
        err_set(err, ERR_TLS_TIMEOUT, 0, "the TLS handshake with %s took too long", whose);
}

static int fd(const struct stream *stream)
{
    return stream_fd(((const struct stream_tls *)stream)->lower);
}

static void free_tls(struct stream *stream)
{
    struct stream_tls *tls = of(stream);
    if (tls->slot < TLS_WARM_MAX)
        tls->warm->streams[tls->slot] = NULL;
    SSL_free(tls->ssl);
    tls_verdict_fini(&tls->verdict);
    stream_free(tls->lower);
    free(tls->whose);
    free(tls);
}

static const struct stream_ops tls_ops = {
    .handshake = handshake,
    .read = read_tls,
    .drained = drained,
    .write = write_tls,
    .cork = cork,
    .shutdown = shutdown_tls,
    .waiting = waiting,
    .fd = fd,
    .free = free_tls,
};

struct stream *stream_tls_new(struct stream *lower, SSL *ssl, const char *whose, struct tls_warm *warm,
                              struct err *err)
{
    struct stream_tls *tls = calloc(1, sizeof *tls);
    BIO *bio = tls != NULL ? bio_new(tls) : NULL;
    char *copy = whose != NULL ? strdup(whose) : NULL;

    if (bio == NULL || (whose != NULL && copy == NULL) || SSL_set_app_data(ssl, tls) != 1) {
        tls_fail(err, ERR_INTERNAL, "making a TLS stream");
        BIO_free(bio);
        free(copy);
        free(tls);
        SSL_free(ssl);
        stream_free(lower);
        return NULL;
    }
    *tls = (struct stream_tls){
        .base = {&tls_ops}, .lower = lower, .ssl = ssl, .whose = copy, .warm = warm, .slot = TLS_WARM_MAX};
    SSL_set_bio(ssl, bio, bio);
    SSL_set_msg_callback(ssl, on_message);
    SSL_set_msg_callback_arg(ssl, tls);
    return &tls->base;
}

struct tls_verdict *stream_tls_verdict(SSL *ssl)
{
    struct stream_tls *tls = SSL_get_app_data(ssl);
    return tls != NULL ? &tls->verdict : NULL;
}

const char *stream_tls_whose(SSL *ssl)
{
    const struct stream_tls *tls = SSL_get_app_data(ssl);
    return tls != NULL && tls->whose != NULL ? tls->whose : "";
}

bool stream_tls_facts(const struct stream *stream, struct stream_tls_facts *facts)
{
    const struct stream_tls *tls = (const struct stream_tls *)stream;
    *facts = (struct stream_tls_facts){0};
    if (stream->ops != &tls_ops)
        return false;
    if (tls->progress < UP)
        return tls->verdict.leaf != NULL && tls_facts_peer(tls->ssl, &tls->verdict, facts);
    tls_facts_agreed(tls->ssl, facts);
    tls_facts_peer(tls->ssl, &tls->verdict, facts);
    return true;
}

bool stream_tls_resumed(const struct stream *stream)
{
    const struct stream_tls *tls = (const struct stream_tls *)stream;
    return stream->ops == &tls_ops && tls->progress >= UP && SSL_session_reused(tls->ssl) == 1;
}
