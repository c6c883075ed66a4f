/* Input: a certificate, in DER. */
#include <openssl/x509.h>

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fuzz/fuzz.h"
#include "tls/certificate.h"

enum { ROOM = 200 };

/* What is shown to a person: ended, and without control characters. */
static void check_printable(const char *text)
{
    size_t length = strnlen(text, ROOM);
    CHECK(length < ROOM);
    for (size_t i = 0; i < length; i++)
        CHECK((unsigned char)text[i] >= ' ' && text[i] != 0x7f);
}

static void look_at(X509 *certificate)
{
    static const char *const hosts[] = {"example.org", "a.example.org", "xn--bcher-kva.example",
                                        "127.0.0.1",   "::1",           "a_b.example",
                                        "localhost"};
    struct tls_pin pins[2];
    char text[ROOM], name[1 + ROOM];

    check_printable(tls_certificate_names(certificate, text, sizeof text));
    check_printable(tls_certificate_title(certificate, text, sizeof text));
    check_printable(tls_name_text(X509_get_subject_name(certificate), text, sizeof text));
    text[0] = '\0';
    CHECK(tls_certificate_alternative_names(certificate, text, sizeof text) >= 0);
    check_printable(text);
    check_printable(tls_certificate_names(certificate, name, 8)); /* cut */
    for (size_t i = 0; i < sizeof hosts / sizeof hosts[0]; i++) {
        (void)tls_certificate_is_for(certificate, hosts[i]);
        (void)tls_certificate_has_address_as_name(certificate, hosts[i]);
    }
    (void)tls_seconds(X509_get0_notBefore(certificate));
    (void)tls_seconds(X509_get0_notAfter(certificate));
    CHECK(tls_certificate_pin(certificate, &pins[0]) == tls_certificate_pin(certificate, &pins[1]));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const unsigned char *at = data;
    X509 *certificate = d2i_X509(NULL, &at, (long)size);
    if (certificate != NULL)
        look_at(certificate);
    X509_free(certificate);
    return 0;
}
