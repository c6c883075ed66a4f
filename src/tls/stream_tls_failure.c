#include "connection.h"

#include <openssl/err.h>
#include <string.h>

#include "memory.h"
#include "tcpgreet/base/escape.h"
#include "tcpgreet/core/service.h"
#include "tcpgreet/core/starttls.h"

#define CUT "..."

enum { REST_BYTES = 16 * 1024, PIECE_BYTES = 4096 };

bool stream_tls_is_used(const struct stream_tls *tls)
{
    enum { CHANGE_CIPHER_SPEC = 20, APPLICATION_DATA = 23, MAJOR = 3 };
    return tls->first_count == 0 ||
           (tls->first[0] >= CHANGE_CIPHER_SPEC && tls->first[0] <= APPLICATION_DATA &&
            (tls->first_count < 2 || tls->first[1] == MAJOR));
}

static int fail_plaintext(const struct stream_tls *tls, struct err *err)
{
    char sent[(size_t)4 * STREAM_TLS_FIRST_BYTES + sizeof CUT];
    struct err_facts facts = {.received = {(const char *)tls->first, tls->first_count}};
    enum starttls_protocol protocol;
    size_t length = strlen(escape_quoted(facts.received, sent, sizeof sent));
    if (tls->first_count == sizeof tls->first)
        memcpy(sent + length, CUT, sizeof CUT);
    if (stream_find(tls->lower, STREAM_LAYER_STARTTLS) != NULL)
        return err_set_facts(err, ERR_TLS_STARTTLS, &facts,
                             "%s agreed to STARTTLS and then sent \"%s\" instead of TLS", tls->whose, sent);
    if (tls->whose != NULL && starttls_of_service(service_identify(facts.received), &protocol))
        return err_set_facts(
            err, ERR_TLS_PLAINTEXT_PEER, &facts,
            "%s does not use TLS from the start on this port: it sent \"%s\" (give --starttls %s, or use the TLS port)",
            tls->whose, sent, starttls_word(protocol));
    if (tls->whose != NULL)
        return err_set_facts(
            err, ERR_TLS_PLAINTEXT_PEER, &facts,
            "%s does not use TLS on this port: it sent \"%s\" (omit --tls, or use the TLS port)", tls->whose,
            sent);
    return err_set_facts(err, ERR_TLS_PLAINTEXT_PEER, &facts, "the client does not use TLS: it sent \"%s\"",
                         sent);
}

/* "handshake_failure", in quotes; the number of one that has no name. Returns: text. */
static const char *put_alert(int alert, char *text, size_t room)
{
    const char *name = tls_alert_name(alert);
    if (name != NULL)
        snprintf(text, room, "\"%s\"", name);
    else
        snprintf(text, room, "%d", alert);
    return text;
}

static bool is_about_a_certificate(int alert)
{
    switch (alert) {
    case SSL_AD_BAD_CERTIFICATE:
    case SSL_AD_UNSUPPORTED_CERTIFICATE:
    case SSL_AD_CERTIFICATE_REVOKED:
    case SSL_AD_CERTIFICATE_EXPIRED:
    case SSL_AD_CERTIFICATE_UNKNOWN:
    case SSL_AD_UNKNOWN_CA:
    case SSL_AD_CERTIFICATE_REQUIRED:
        return true;
    default:
        return false;
    }
}

/* One is asked for, and this side has none, or has one that OpenSSL leaves out: with the signature
 * algorithms that both sides allow, its key cannot sign, or its issuer could not (RFC 8446 section 4.2.3).
 * TLS 1.2 has no alert of its own for that; Java has none in 1.3 either. */
static int fail_without_certificate(const struct stream_tls *tls, int alert, const char *name,
                                    struct err *err)
{
    bool has_one = SSL_get_certificate(tls->ssl) != NULL;
    const struct err_facts facts = {.detail = has_one ? ERR_DETAIL_CERTIFICATE_UNFIT
                                                      : ERR_DETAIL_CERTIFICATE_ABSENT,
                                    .native = alert,
                                    .alert = alert};
    const char *why = has_one ? "ours was not sent: it fits no signature algorithm that both sides allow"
                              : "give --cert and --key";

    if (alert == SSL_AD_CERTIFICATE_REQUIRED)
        return err_set_facts(err, ERR_TLS_CLIENT_CERTIFICATE, &facts,
                             "the server requires a client certificate (%s)", why);
    return err_set_facts(err, ERR_TLS_CLIENT_CERTIFICATE, &facts,
                         "the server requested a client certificate and then sent the TLS alert %s (%s)",
                         name, why);
}

/* An alert that the peer sent. OpenSSL leaves out what it finds no memory for, such as this side's
 * certificate: then the peer may complain of that. */
static int fail_alert(const struct stream_tls *tls, int alert, struct err *err)
{
    char name[64];
    struct err_facts facts = {.native = alert, .alert = alert};
    put_alert(alert, name, sizeof name);
    if (tls->was_short)
        return err_set_facts(err, ERR_INTERNAL, &facts,
                             "not enough memory in the TLS handshake; then the peer sent the TLS alert %s",
                             name);
    if (alert == SSL_AD_PROTOCOL_VERSION) {
        facts.detail = ERR_DETAIL_TLS_VERSION;
        return err_set_facts(err, ERR_TLS_PROTOCOL, &facts,
                             "the peer supports no TLS version that this side allows");
    }
    if (is_about_a_certificate(alert) && tls->is_shown) {
        facts.detail = ERR_DETAIL_CERTIFICATE_REFUSED;
        return err_set_facts(err, tls->whose != NULL ? ERR_TLS_CLIENT_CERTIFICATE : ERR_TLS_ALERT, &facts,
                             "the peer rejected our certificate: %s", tls_alert_name(alert));
    }
    if (tls->whose != NULL && (alert == SSL_AD_CERTIFICATE_REQUIRED || tls->asked_in_vain))
        return fail_without_certificate(tls, alert, name, err);
    return err_set_facts(err, ERR_TLS_ALERT, &facts, "the peer sent the TLS alert %s", name);
}

void stream_tls_fail_cut(const struct stream_tls *tls, struct err *err)
{
    const struct err below = *err;
    bool is_reset = err_is_of_reset(below.native), is_broken = below.reason != ERR_OK && !is_reset;
    const char *ended = is_reset ? "reset" : "closed";
    struct err_facts facts = {.native = below.native,
                              .detail =
                                  tls->first_count == 0 ? ERR_DETAIL_TLS_UNANSWERED : ERR_DETAIL_TLS_CUT};

    err_clear(err);
    if (tls->whose == NULL && tls->first_count == 0)
        err_set(err, ERR_DIALOGUE_EARLY_END, below.native,
                "the client %s the connection without sending data", ended);
    else if (!stream_tls_is_used(tls))
        fail_plaintext(tls, err);
    else if (is_broken)
        err_set_facts(err, ERR_TLS_PROTOCOL, &facts, "the TLS handshake was cut off: %s", below.text);
    else if (tls->first_count == 0)
        err_set_facts(err, ERR_TLS_PROTOCOL, &facts,
                      "the peer %s the connection on the ClientHello without a reply", ended);
    else
        err_set_facts(err, ERR_TLS_PROTOCOL, &facts, "the peer %s the connection during the TLS handshake",
                      ended);
}

/* Takes what has come by now, within a limit: what is not read before the close makes the kernel send an RST,
 * which can overtake the alert, and OpenSSL from 3.2 on reads the first bytes of a record alone. */
static void take_rest(struct stream_tls *tls)
{
    char data[PIECE_BYTES];
    struct err ignored = {0};
    size_t count = 0, taken = 0;

    for (int waits = 0; waits < 2 && taken < REST_BYTES;) { /* the first may only repeat a short count */
        enum stream_result result = stream_read(tls->lower, data, sizeof data, &count, &ignored);
        if (result == STREAM_WANT_READ) {
            waits++;
        } else if (result == STREAM_OK) {
            stream_tls_keep_first(tls, data, count);
            taken += count;
        } else {
            return;
        }
    }
}

bool stream_tls_is_to_quote(const struct stream_tls *tls)
{
    return tls->whose != NULL && !stream_tls_is_used(tls) && !tls->lower_ended &&
           stream_find(tls->lower, STREAM_LAYER_STARTTLS) == NULL;
}

/* Whether the first line is known, as far as it is kept. */
static bool is_quotable(const struct stream_tls *tls)
{
    return tls->first_count == sizeof tls->first || memchr(tls->first, '\n', tls->first_count) != NULL;
}

enum stream_result stream_tls_quote(struct stream_tls *tls, struct err *err)
{
    enum stream_result result = STREAM_OK;
    struct err ignored = {0};

    ERR_clear_error();
    tls->progress = STREAM_TLS_QUOTING;
    while (result == STREAM_OK && !is_quotable(tls)) {
        char data[STREAM_TLS_FIRST_BYTES];
        size_t count = 0;
        result = stream_read(tls->lower, data, sizeof data, &count, &ignored);
        stream_tls_keep_first(tls, data, count);
    }
    tls->base.more = false;
    tls->base.is_quoting = result == STREAM_WANT_READ;
    if (tls->base.is_quoting)
        return STREAM_WANT_READ;
    tls->progress = STREAM_TLS_REFUSED;
    take_rest(tls);
    fail_plaintext(tls, err);
    return STREAM_FAILED;
}

enum stream_result stream_tls_fail(struct stream_tls *tls, const char *doing, struct err *err)
{
    unsigned long code = ERR_peek_error();
    int reason = ERR_GET_REASON(code);
    bool shaking = tls->progress <= STREAM_TLS_SHAKING;

    tls->progress = shaking ? STREAM_TLS_REFUSED : STREAM_TLS_DOWN;
    bool cut = tls->lower_ended || err->reason == ERR_DIALOGUE_RESET;
    if (!cut)
        take_rest(tls);
    if (cut && shaking) {
        stream_tls_fail_cut(tls, err);
    } else if (err->reason != ERR_OK) {
        /* the first message is the most exact */
    } else if (tls->verdict.code != X509_V_OK) {
        tls_verdict_fail(&tls->verdict, err);
    } else if (shaking && !stream_tls_is_used(tls)) {
        fail_plaintext(tls, err);
    } else if (tls->lower_ended) {
        err_set(err, ERR_DIALOGUE_TRUNCATED, 0,
                "the stream was cut off: the peer ended it without close_notify");
    } else if (reason > SSL_AD_REASON_OFFSET && reason < SSL_AD_REASON_OFFSET + 256) {
        fail_alert(tls, reason - SSL_AD_REASON_OFFSET, err);
    } else if (tls_memory_is_short()) {
        tls_fail(err, ERR_INTERNAL, doing);
    } else if (reason == SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE) {
        err_set_facts(err, ERR_TLS_CLIENT_CERTIFICATE,
                      &(struct err_facts){.detail = ERR_DETAIL_CERTIFICATE_ABSENT, .native = reason},
                      "the client sent no certificate");
    } else if (reason == SSL_R_EXCESSIVE_MESSAGE_SIZE) {
        err_set(
            err, ERR_TLS_PROTOCOL, reason,
            "the peer sent a longer handshake message than this side takes (its certificates may have %d KiB in all)",
            (int)SSL_get_max_cert_list(tls->ssl) / 1024);
    } else if (reason == SSL_R_UNSUPPORTED_PROTOCOL || reason == SSL_R_WRONG_SSL_VERSION) {
        err_set_facts(err, ERR_TLS_PROTOCOL,
                      &(struct err_facts){.detail = ERR_DETAIL_TLS_VERSION, .native = reason},
                      "the peer chose a TLS version that this side does not allow");
    } else {
        tls_fail(err, ERR_TLS_PROTOCOL, doing);
    }
    ERR_clear_error();
    return STREAM_FAILED;
}

enum stream_result stream_tls_expire(const struct stream_tls *tls, struct err *err)
{
    const char *whose = tls->whose != NULL ? tls->whose : "the client";

    if (tls->progress == STREAM_TLS_NEW && stream_handshake_expire(tls->lower, err) == STREAM_FAILED)
        return STREAM_FAILED;
    if (tls->first_count > 0 && !stream_tls_is_used(tls))
        fail_plaintext(tls, err);
    else if (tls->first_count == 0 && tls->whose == NULL)
        err_set(err, ERR_TLS_SILENT_PEER, 0, "the client started no TLS handshake");
    else if (tls->first_count == 0)
        err_set(err, ERR_TLS_SILENT_PEER, 0,
                "no reply to the ClientHello from %s (it may not use TLS on this port)", whose);
    else
        err_set(err, ERR_TLS_TIMEOUT, 0, "the TLS handshake with %s took too long", whose);
    return STREAM_FAILED;
}
