#include "trace.h"

#include <openssl/ssl.h>
#include <stdio.h>
#include <string.h>

#include "tcpgreet/base/trace.h"
#include "tcpgreet/tls/tls.h"

/* The random of a HelloRetryRequest, RFC 8446 section 4.1.3. */
static const unsigned char retry_random[] = {0xCF, 0x21, 0xAD, 0x74, 0xE5, 0x9A, 0x61, 0x11, 0xBE, 0x1D, 0x8C,
                                             0x02, 0x1E, 0x65, 0xB8, 0x91, 0xC2, 0xA2, 0x11, 0x16, 0x7A, 0xBB,
                                             0x8C, 0x5E, 0x07, 0x9E, 0x09, 0xE2, 0xC8, 0xA8, 0x33, 0x9C};

static enum trace_step handshake_step(const unsigned char *bytes, size_t length)
{
    enum { RANDOM_AT = 6 };

    switch (bytes[0]) {
    case SSL3_MT_CLIENT_HELLO:
        return TRACE_TLS_CLIENT_HELLO;
    case SSL3_MT_SERVER_HELLO:
        return length >= RANDOM_AT + sizeof retry_random &&
                       memcmp(bytes + RANDOM_AT, retry_random, sizeof retry_random) == 0
                   ? TRACE_TLS_HELLO_RETRY_REQUEST
                   : TRACE_TLS_SERVER_HELLO;
    case SSL3_MT_NEWSESSION_TICKET:
        return TRACE_TLS_NEW_SESSION_TICKET;
    case SSL3_MT_ENCRYPTED_EXTENSIONS:
        return TRACE_TLS_ENCRYPTED_EXTENSIONS;
    case SSL3_MT_CERTIFICATE:
        return TRACE_TLS_CERTIFICATE;
    case SSL3_MT_SERVER_KEY_EXCHANGE:
        return TRACE_TLS_SERVER_KEY_EXCHANGE;
    case SSL3_MT_CERTIFICATE_REQUEST:
        return TRACE_TLS_CERTIFICATE_REQUEST;
    case SSL3_MT_SERVER_DONE:
        return TRACE_TLS_SERVER_HELLO_DONE;
    case SSL3_MT_CERTIFICATE_VERIFY:
        return TRACE_TLS_CERTIFICATE_VERIFY;
    case SSL3_MT_CLIENT_KEY_EXCHANGE:
        return TRACE_TLS_CLIENT_KEY_EXCHANGE;
    case SSL3_MT_FINISHED:
        return TRACE_TLS_FINISHED;
    case SSL3_MT_CERTIFICATE_STATUS:
        return TRACE_TLS_CERTIFICATE_STATUS;
    case SSL3_MT_KEY_UPDATE:
        return TRACE_TLS_KEY_UPDATE;
    default:
        return TRACE_TLS_OTHER_MESSAGE;
    }
}

/* "sent: unknown_ca"; the number of an alert that has no name. */
static void put_alert(const char *way, int alert, char *text, size_t room)
{
    const char *name = alert == SSL_AD_CLOSE_NOTIFY ? "close_notify" : tls_alert_name(alert);
    if (name != NULL)
        snprintf(text, room, "%s: %s", way, name);
    else
        snprintf(text, room, "%s: %d", way, alert);
}

void tls_trace_message(int fd, int sent, int content_type, const unsigned char *bytes, size_t length)
{
    enum trace_step step;
    char arguments[96];
    const char *way = sent ? "sent" : "received";

    if (length == 0)
        return;
    snprintf(arguments, sizeof arguments, "%s, %zu bytes", way, length);
    if (content_type == SSL3_RT_HANDSHAKE) {
        step = handshake_step(bytes, length);
    } else if (content_type == SSL3_RT_CHANGE_CIPHER_SPEC) {
        step = TRACE_TLS_CHANGE_CIPHER_SPEC;
    } else if (content_type == SSL3_RT_ALERT && length >= 2) {
        step = bytes[1] == SSL_AD_CLOSE_NOTIFY ? TRACE_TLS_CLOSE_NOTIFY : TRACE_TLS_ALERT;
        put_alert(way, bytes[1], arguments, sizeof arguments);
    } else {
        return; /* record headers and inner content types */
    }
    trace(.step = step, .fd = fd, .arguments = arguments);
}

void tls_trace_agreed(int fd, const struct stream_tls_facts *facts, uint64_t begin_ns)
{
    char arguments[256];
    snprintf(arguments, sizeof arguments, "%s, %s%s%s%s%s, %s", facts->version, facts->cipher,
             facts->group[0] != '\0' ? ", " : "", facts->group, facts->alpn[0] != '\0' ? ", ALPN " : "",
             facts->alpn, facts->resumed ? "resumed" : "full handshake");
    trace(.step = TRACE_TLS_AGREED, .fd = fd, .begin_ns = begin_ns, .arguments = arguments);
}
