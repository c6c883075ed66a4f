#include <stddef.h>
#include <string.h>

#include "tcpgreet/tls/tls.h"

/* Source: RFC 8446 section 6, with those of RFC 5246 section 7.2 that TLS 1.2 servers send. */
static const struct {
    int number;
    const char *name;
} alerts[] = {
    {10, "unexpected_message"},
    {20, "bad_record_mac"},
    {22, "record_overflow"},
    {40, "handshake_failure"},
    {42, "bad_certificate"},
    {43, "unsupported_certificate"},
    {44, "certificate_revoked"},
    {45, "certificate_expired"},
    {46, "certificate_unknown"},
    {47, "illegal_parameter"},
    {48, "unknown_ca"},
    {49, "access_denied"},
    {50, "decode_error"},
    {51, "decrypt_error"},
    {70, "protocol_version"},
    {71, "insufficient_security"},
    {80, "internal_error"},
    {86, "inappropriate_fallback"},
    {90, "user_canceled"},
    {100, "no_renegotiation"},
    {109, "missing_extension"},
    {110, "unsupported_extension"},
    {112, "unrecognized_name"},
    {113, "bad_certificate_status_response"},
    {115, "unknown_psk_identity"},
    {116, "certificate_required"},
    {120, "no_application_protocol"},
};

int tls_alert_parse(const char *name)
{
    for (size_t i = 0; i < sizeof alerts / sizeof alerts[0]; i++)
        if (strcmp(alerts[i].name, name) == 0)
            return alerts[i].number;
    return -1;
}

const char *tls_alert_name(int alert)
{
    for (size_t i = 0; i < sizeof alerts / sizeof alerts[0]; i++)
        if (alerts[i].number == alert)
            return alerts[i].name;
    return NULL;
}
