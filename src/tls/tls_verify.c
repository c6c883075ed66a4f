#include <arpa/inet.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/x509v3.h>
#include <string.h>
#include <time.h>

#include "tcpgreet/base/buf.h"
#include "tcpgreet/base/escape.h"
#include "tls_private.h"

_Static_assert(sizeof(time_t) >= sizeof(int64_t), "certificates may be valid until the year 9999");

int64_t tls_seconds(const ASN1_TIME *time)
{
    struct tm tm;
    return ASN1_TIME_to_tm(time, &tm) == 1 ? timegm(&tm) : 0;
}

/* Appends one more name; what does not fit is told by dots. */
static void put_name(char *text, size_t room, const char *name)
{
    size_t length = strlen(text);
    if (length + strlen(name) + sizeof ", ..." < room)
        snprintf(text + length, room - length, "%s%s", length > 0 ? ", " : "", name);
    else if (length >= 3 && strcmp(text + length - 3, "...") != 0 && length + sizeof ", ..." <= room)
        snprintf(text + length, room - length, ", ...");
}

static void put_string(char *text, size_t room, const ASN1_STRING *string)
{
    char shown[128];
    struct bytes bytes = {(const char *)ASN1_STRING_get0_data(string), (size_t)ASN1_STRING_length(string)};
    put_name(text, room, escape_quoted(bytes, shown, sizeof shown));
}

static void put_address(char *text, size_t room, const ASN1_OCTET_STRING *address)
{
    char shown[INET6_ADDRSTRLEN] = "?";
    int family = ASN1_STRING_length(address) == 16 ? AF_INET6 : AF_INET;
    if (ASN1_STRING_length(address) == 16 || ASN1_STRING_length(address) == 4)
        inet_ntop(family, ASN1_STRING_get0_data(address), shown, sizeof shown);
    put_name(text, room, shown);
}

const char *tls_name_text(const X509_NAME *name, char *text, size_t room)
{
    int index = X509_NAME_get_index_by_NID(name, NID_commonName, -1);
    text[0] = '\0';
    if (index >= 0) {
        put_string(text, room, X509_NAME_ENTRY_get_data(X509_NAME_get_entry(name, index)));
        return text;
    }
    char *line = X509_NAME_oneline(name, NULL, 0);
    if (line != NULL)
        escape_quoted((struct bytes){line, strlen(line)}, text, room);
    OPENSSL_free(line);
    return text;
}

int tls_certificate_alternative_names(X509 *certificate, char *text, size_t room)
{
    GENERAL_NAMES *names = X509_get_ext_d2i(certificate, NID_subject_alt_name, NULL, NULL);
    int found = 0;
    for (int i = 0; i < sk_GENERAL_NAME_num(names); i++) {
        const GENERAL_NAME *name = sk_GENERAL_NAME_value(names, i);
        found += name->type == GEN_DNS || name->type == GEN_IPADD;
        if (name->type == GEN_DNS)
            put_string(text, room, name->d.dNSName);
        else if (name->type == GEN_IPADD)
            put_address(text, room, name->d.iPAddress);
    }
    GENERAL_NAMES_free(names);
    return found;
}

const char *tls_certificate_names(X509 *certificate, char *text, size_t room)
{
    text[0] = '\0';
    if (tls_certificate_alternative_names(certificate, text, room) == 0)
        tls_name_text(X509_get_subject_name(certificate), text, room);
    return text;
}

int tls_certificate_pin(X509 *certificate, struct tls_pin *pin)
{
    unsigned char *der = NULL;
    int length = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(certificate), &der);
    int digested = length > 0 && EVP_Digest(der, (size_t)length, pin->sha256, NULL, EVP_sha256(), NULL) == 1;
    OPENSSL_free(der);
    return digested ? 0 : -1;
}

static bool pin_matches(const struct tls_trust *trust, X509 *certificate)
{
    struct tls_pin pin;
    if (certificate == NULL || tls_certificate_pin(certificate, &pin) < 0)
        return false;
    for (size_t i = 0; i < trust->pins.count; i++)
        if (CRYPTO_memcmp(pin.sha256, trust->pins.list[i].sha256, TLS_PIN_BYTES) == 0)
            return true;
    return false;
}

/* What a pin stands in for: the chain of trust and the name. Dates, purpose and strength count still. */
static bool pin_covers(int code)
{
    switch (code) {
    case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
    case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
    case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
    case X509_V_ERR_CERT_UNTRUSTED:
    case X509_V_ERR_HOSTNAME_MISMATCH:
    case X509_V_ERR_IP_ADDRESS_MISMATCH:
        return true;
    default:
        return false;
    }
}

static X509 *with_reference(X509 *certificate)
{
    return certificate != NULL && X509_up_ref(certificate) == 1 ? certificate : NULL;
}

static SSL *ssl_of(X509_STORE_CTX *store)
{
    return X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx());
}

/* The client tells what it was shown whatever becomes of the handshake. */
static void keep_chain(X509_STORE_CTX *store)
{
    SSL *ssl = ssl_of(store);
    struct tls_verdict *verdict = ssl != NULL ? stream_tls_verdict(ssl) : NULL;
    if (verdict == NULL || verdict->leaf != NULL || SSL_is_server(ssl) == 1)
        return;
    ERR_set_mark(); /* without memory less is told, and that is all */
    verdict->leaf = with_reference(X509_STORE_CTX_get0_cert(store));
    verdict->chain = X509_chain_up_ref(X509_STORE_CTX_get0_untrusted(store));
    ERR_pop_to_mark();
}

static void keep_verdict(X509_STORE_CTX *store, int code)
{
    SSL *ssl = ssl_of(store);
    struct tls_verdict *verdict = ssl != NULL ? stream_tls_verdict(ssl) : NULL;
    if (verdict == NULL || verdict->code != X509_V_OK)
        return;
    verdict->code = code;
    verdict->depth = X509_STORE_CTX_get_error_depth(store);
    verdict->certificate = with_reference(X509_STORE_CTX_get_current_cert(store));
    if (verdict->leaf == NULL)
        verdict->leaf = with_reference(X509_STORE_CTX_get0_cert(store));
    verdict->leaf_alone = sk_X509_num(X509_STORE_CTX_get0_untrusted(store)) <= 1;
}

/* Called for each fault that OpenSSL finds; returning 1 goes on as if there were none. */
static int on_fault(int well, X509_STORE_CTX *store)
{
    const struct tls_trust *trust = X509_STORE_CTX_get_app_data(store);
    int code = X509_STORE_CTX_get_error(store);

    if (well)
        return 1;
    if (trust != NULL && trust->pins_stand_alone && pin_covers(code)) {
        X509_STORE_CTX_set_error(store, X509_V_OK);
        return 1;
    }
    keep_verdict(store, code);
    return 0;
}

int tls_verify(X509_STORE_CTX *store, void *argument)
{
    const struct tls_trust *trust = argument;

    keep_chain(store);
    if (trust->pins.count > 0 && !pin_matches(trust, X509_STORE_CTX_get0_cert(store))) {
        X509_STORE_CTX_set_error(store, X509_V_ERR_APPLICATION_VERIFICATION);
        keep_verdict(store, X509_V_ERR_APPLICATION_VERIFICATION);
        return 0;
    }
    if (trust->believe_all) {
        X509_STORE_CTX_set_error(store, X509_V_ERR_UNSPECIFIED); /* what sessions and facts remember of it */
        return 1;
    }
    X509_STORE_CTX_set_app_data(store, argument);
    X509_STORE_CTX_set_verify_cb(store, on_fault);
    if (X509_verify_cert(store) > 0)
        return 1;
    keep_verdict(store, X509_STORE_CTX_get_error(store)); /* it may fail without a fault: no memory */
    return 0;
}
