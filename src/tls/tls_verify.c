#include <arpa/inet.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/x509v3.h>
#include <string.h>
#include <time.h>

#include "tcpgreet/buf.h"
#include "tcpgreet/escape.h"
#include "tls_private.h"

int64_t tls_seconds(const ASN1_TIME *time)
{
    struct tm tm;
    return ASN1_TIME_to_tm(time, &tm) == 1 ? (int64_t)timegm(&tm) : 0;
}

static void format_time(int64_t seconds, char *text, size_t room)
{
    time_t when = (time_t)seconds;
    struct tm tm;
    if (gmtime_r(&when, &tm) == NULL || strftime(text, room, "%Y-%m-%d %H:%M UTC", &tm) == 0)
        snprintf(text, room, "?");
}

/* "3 days", "2 hours": in the largest unit that fits. */
static void format_span(int64_t seconds, char *text, size_t room)
{
    static const struct {
        int64_t seconds;
        const char *name;
    } units[] = {{86400, "day"}, {3600, "hour"}, {60, "minute"}, {1, "second"}};
    size_t i = 0;

    seconds = seconds < 0 ? -seconds : seconds;
    while (i < 3 && seconds < units[i].seconds)
        i++;
    long long n = (long long)(seconds / units[i].seconds);
    snprintf(text, room, "%lld %s%s", n, units[i].name, n == 1 ? "" : "s");
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
    put_name(text, room, escape_text(bytes, shown, sizeof shown));
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
        escape_text((struct bytes){line, strlen(line)}, text, room);
    OPENSSL_free(line);
    return text;
}

/* Returns: how many names of the kinds that count the certificate holds. */
static int put_alternative_names(X509 *certificate, char *text, size_t room)
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

static bool has_alternative_names(X509 *certificate)
{
    char text[64] = "";
    return certificate != NULL && put_alternative_names(certificate, text, sizeof text) > 0;
}

const char *tls_certificate_names(X509 *certificate, char *text, size_t room)
{
    text[0] = '\0';
    if (put_alternative_names(certificate, text, room) == 0)
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

void tls_pin_format(const struct tls_pin *pin, char text[TLS_PIN_TEXT_BYTES])
{
    size_t used = (size_t)snprintf(text, TLS_PIN_TEXT_BYTES, "sha256:");
    for (size_t i = 0; i < TLS_PIN_BYTES; i++)
        used += (size_t)snprintf(text + used, TLS_PIN_TEXT_BYTES - used, "%02x", pin->sha256[i]);
}

static bool pin_matches(const struct tls_trust *trust, X509 *certificate)
{
    struct tls_pin pin;
    if (certificate == NULL || tls_certificate_pin(certificate, &pin) < 0)
        return false;
    for (size_t i = 0; i < trust->pin_count; i++)
        if (CRYPTO_memcmp(pin.sha256, trust->pins[i].sha256, TLS_PIN_BYTES) == 0)
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

static void keep_verdict(X509_STORE_CTX *store, int code)
{
    SSL *ssl = X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx());
    struct tls_verdict *verdict = ssl != NULL ? stream_tls_verdict(ssl) : NULL;
    if (verdict == NULL || verdict->code != X509_V_OK)
        return;
    verdict->code = code;
    verdict->depth = X509_STORE_CTX_get_error_depth(store);
    verdict->certificate = with_reference(X509_STORE_CTX_get_current_cert(store));
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

    if (trust->pin_count > 0 && !pin_matches(trust, X509_STORE_CTX_get0_cert(store))) {
        X509_STORE_CTX_set_error(store, X509_V_ERR_APPLICATION_VERIFICATION);
        keep_verdict(store, X509_V_ERR_APPLICATION_VERIFICATION);
        return 0;
    }
    if (trust->believe_all)
        return 1;
    X509_STORE_CTX_set_app_data(store, argument);
    X509_STORE_CTX_set_verify_cb(store, on_fault);
    if (X509_verify_cert(store) > 0)
        return 1;
    keep_verdict(store, X509_STORE_CTX_get_error(store)); /* it may fail without a fault: no memory */
    return 0;
}

void tls_verdict_fini(struct tls_verdict *verdict)
{
    X509_free(verdict->certificate);
    X509_free(verdict->leaf);
    *verdict = (struct tls_verdict){0};
}

/* "the certificate of localhost", "the CA certificate "X" above it". */
static const char *put_which(const struct tls_verdict *verdict, const char *whose, char *text, size_t room)
{
    char name[200];
    if (verdict->depth == 0 && whose != NULL)
        snprintf(text, room, "the certificate of %s", whose);
    else if (verdict->depth == 0)
        snprintf(text, room, "the client's certificate");
    else
        snprintf(text, room, "the CA certificate \"%s\" above that of %s",
                 verdict->certificate != NULL
                     ? tls_name_text(X509_get_subject_name(verdict->certificate), name, sizeof name)
                     : "?",
                 whose != NULL ? whose : "the client");
    return text;
}

static int tell_dates(const struct tls_verdict *verdict, const char *which, struct err *err)
{
    bool expired = verdict->code == X509_V_ERR_CERT_HAS_EXPIRED;
    const ASN1_TIME *limit =
        expired ? X509_get0_notAfter(verdict->certificate) : X509_get0_notBefore(verdict->certificate);
    int64_t seconds = tls_seconds(limit);
    char when[32], span[32];

    format_time(seconds, when, sizeof when);
    format_span((int64_t)time(NULL) - seconds, span, sizeof span);
    if (expired)
        return err_set(err, ERR_CERT_EXPIRED, verdict->code, "%s expired %s ago (%s): it must be renewed",
                       which, span, when);
    return err_set(err, ERR_CERT_NOT_YET_VALID, verdict->code,
                   "%s is valid only in %s (from %s): is a clock wrong, here or where it was issued?", which,
                   span, when);
}

static int tell_name(const struct tls_verdict *verdict, const char *which, const char *whose, struct err *err)
{
    char names[200] = "";
    X509 *certificate = verdict->leaf != NULL ? verdict->leaf : verdict->certificate;

    if (!has_alternative_names(certificate))
        return err_set(err, ERR_CERT_NAME, verdict->code,
                       "%s names no host or address in subjectAltName (a common name alone does not count)",
                       which);
    tls_certificate_names(certificate, names, sizeof names);
    return err_set(err, ERR_CERT_NAME, verdict->code,
                   "%s is for %s, not for %s (--servername says which name to expect)", which, names, whose);
}

static int tell_untrusted(const struct tls_verdict *verdict, const char *which, const char *whose,
                          struct err *err)
{
    char issuer[200] = "?";
    if (verdict->certificate != NULL)
        tls_name_text(X509_get_issuer_name(verdict->certificate), issuer, sizeof issuer);
    return err_set(err, ERR_CERT_UNTRUSTED, verdict->code,
                   "%s was issued by \"%s\", which is not trusted here (%s FILE trusts a CA%s)", which,
                   issuer, whose != NULL ? "--ca" : "--client-ca",
                   verdict->leaf_alone
                       ? "; if that is an intermediate CA, the peer must send its certificate along"
                       : "");
}

static int tell_pin(const struct tls_verdict *verdict, const char *which, struct err *err)
{
    struct tls_pin pin;
    char text[TLS_PIN_TEXT_BYTES] = "?";
    if (verdict->leaf != NULL && tls_certificate_pin(verdict->leaf, &pin) == 0)
        tls_pin_format(&pin, text);
    return err_set(err, ERR_CERT_PIN, verdict->code, "%s has another key than --pin allows: %s", which, text);
}

int tls_verdict_tell(const struct tls_verdict *verdict, const char *whose, struct err *err)
{
    char which[600];
    put_which(verdict, whose, which, sizeof which);

    switch (verdict->code) {
    case X509_V_ERR_CERT_HAS_EXPIRED:
    case X509_V_ERR_CERT_NOT_YET_VALID:
        return tell_dates(verdict, which, err);
    case X509_V_ERR_HOSTNAME_MISMATCH:
    case X509_V_ERR_IP_ADDRESS_MISMATCH:
        return tell_name(verdict, which, whose, err);
    case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
        return err_set(err, ERR_CERT_SELF_SIGNED, verdict->code,
                       "%s is signed by itself, not by a CA (if it is the right one: %s)", which,
                       whose != NULL ? "--ca FILE, or --pin" : "--client-ca FILE");
    case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
    case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
    case X509_V_ERR_CERT_UNTRUSTED:
        return tell_untrusted(verdict, which, whose, err);
    case X509_V_ERR_INVALID_PURPOSE:
        return err_set(err, ERR_CERT_PURPOSE, verdict->code,
                       "%s is not meant for a TLS %s (its extended key usage says for what)", which,
                       whose != NULL ? "server" : "client");
    case X509_V_ERR_EE_KEY_TOO_SMALL:
    case X509_V_ERR_CA_KEY_TOO_SMALL:
        return err_set(err, ERR_CERT_WEAK, verdict->code, "%s has too short a key (RSA needs 2048 bits)",
                       which);
    case X509_V_ERR_CA_MD_TOO_WEAK:
        return err_set(err, ERR_CERT_WEAK, verdict->code, "%s is signed with a broken hash such as SHA-1",
                       which);
    case X509_V_ERR_APPLICATION_VERIFICATION:
        return tell_pin(verdict, which, err);
    default:
        return err_set(err, ERR_CERT_UNTRUSTED, verdict->code, "%s is refused: %s", which,
                       X509_verify_cert_error_string(verdict->code));
    }
}

int tls_pin_parse(const char *text, struct tls_pin *pin, struct err *err)
{
    static const char prefix[] = "sha256:";
    size_t length = 0;
    long bytes = 0;
    unsigned char *binary = NULL;

    if (strncmp(text, prefix, strlen(prefix)) == 0) {
        text += strlen(prefix);
        length = strspn(text, "0123456789abcdefABCDEF");
    }
    if (length == (size_t)TLS_PIN_BYTES * 2 && text[length] == '\0')
        binary = OPENSSL_hexstr2buf(text, &bytes);
    if (binary == NULL || bytes != TLS_PIN_BYTES) {
        OPENSSL_free(binary);
        return err_set(err, ERR_USAGE, 0, "--pin takes sha256: and 64 hexadecimal digits");
    }
    memcpy(pin->sha256, binary, TLS_PIN_BYTES);
    OPENSSL_free(binary);
    return 0;
}
