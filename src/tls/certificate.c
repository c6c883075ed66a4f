#include "certificate.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/x509v3.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <time.h>

#include "tcpgreet/base/buf.h"
#include "tcpgreet/base/escape.h"

_Static_assert(sizeof(time_t) >= sizeof(int64_t), "certificates may be valid until the year 9999");

int64_t tls_seconds(const ASN1_TIME *time)
{
    struct tm tm;
    return ASN1_TIME_to_tm(time, &tm) == 1 ? timegm(&tm) : 0;
}

/* Appends one more name; dots stand for what does not fit. */
static void put_name(char *text, size_t room, const char *name)
{
    size_t length = strlen(text);
    if (length + strlen(name) + sizeof ", ..." < room)
        snprintf(text + length, room - length, "%s%s", length > 0 ? ", " : "", name);
    else if (length >= 3 && strcmp(text + length - 3, "...") != 0 && length + sizeof ", ..." <= room)
        snprintf(text + length, room - length, ", ...");
}

static struct bytes bytes_of(const ASN1_STRING *string)
{
    return (struct bytes){(const char *)ASN1_STRING_get0_data(string), (size_t)ASN1_STRING_length(string)};
}

/* kind: "URI:"; "" for names whose kind is obvious. */
static void put_string(char *text, size_t room, const char *kind, const ASN1_STRING *string)
{
    char shown[128], name[sizeof shown + 8];
    snprintf(name, sizeof name, "%s%s", kind, escape_quoted(bytes_of(string), shown, sizeof shown));
    put_name(text, room, name);
}

/* Returns: the length of the address that a text is; 0 for none. */
static size_t parse_address(const char *text, unsigned char address[sizeof(struct in6_addr)])
{
    if (inet_pton(AF_INET, text, address) == 1)
        return sizeof(struct in_addr);
    return inet_pton(AF_INET6, text, address) == 1 ? sizeof(struct in6_addr) : 0;
}

static size_t address_in(const ASN1_STRING *string, unsigned char address[sizeof(struct in6_addr)])
{
    char text[INET6_ADDRSTRLEN];
    struct bytes bytes = bytes_of(string);
    if (bytes.length >= sizeof text || memchr(bytes.data, '\0', bytes.length) != NULL)
        return 0;
    snprintf(text, sizeof text, "%.*s", (int)bytes.length, bytes.data);
    return parse_address(text, address);
}

static void put_address(char *text, size_t room, const ASN1_OCTET_STRING *address)
{
    char shown[INET6_ADDRSTRLEN] = "?";
    int family = ASN1_STRING_length(address) == 16 ? AF_INET6 : AF_INET;
    if (ASN1_STRING_length(address) == 16 || ASN1_STRING_length(address) == 4)
        inet_ntop(family, ASN1_STRING_get0_data(address), shown, sizeof shown);
    put_name(text, room, shown);
}

/* What is no text in its own encoding is shown as bytes. */
static void put_text(char *text, size_t room, const ASN1_STRING *string)
{
    unsigned char *utf8 = NULL;
    ERR_set_mark();
    int length = ASN1_STRING_to_UTF8(&utf8, string);
    ERR_pop_to_mark();
    if (length < 0) {
        put_string(text, room, "", string);
        return;
    }
    char shown[128];
    put_name(text, room,
             escape_quoted((struct bytes){(const char *)utf8, (size_t)length}, shown, sizeof shown));
    OPENSSL_free(utf8);
}

const char *tls_name_text(const X509_NAME *name, char *text, size_t room)
{
    int index = X509_NAME_get_index_by_NID(name, NID_commonName, -1);
    text[0] = '\0';
    if (index >= 0) {
        put_text(text, room, X509_NAME_ENTRY_get_data(X509_NAME_get_entry(name, index)));
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
    unsigned char address[sizeof(struct in6_addr)];
    int found = 0;
    for (int i = 0; i < sk_GENERAL_NAME_num(names); i++) {
        const GENERAL_NAME *name = sk_GENERAL_NAME_value(names, i);
        found += name->type == GEN_DNS || name->type == GEN_IPADD;
        if (name->type == GEN_DNS)
            put_string(text, room, address_in(name->d.dNSName, address) > 0 ? "DNS:" : "", name->d.dNSName);
        else if (name->type == GEN_IPADD)
            put_address(text, room, name->d.iPAddress);
        else if (name->type == GEN_URI)
            put_string(text, room, "URI:", name->d.uniformResourceIdentifier);
        else if (name->type == GEN_EMAIL)
            put_string(text, room, "email:", name->d.rfc822Name);
    }
    GENERAL_NAMES_free(names);
    return found;
}

const char *tls_certificate_names(X509 *certificate, char *text, size_t room)
{
    text[0] = '\0';
    if (tls_certificate_alternative_names(certificate, text, room) == 0 && text[0] == '\0')
        tls_name_text(X509_get_subject_name(certificate), text, room);
    return text;
}

const char *tls_certificate_title(X509 *certificate, char *text, size_t room)
{
    tls_name_text(X509_get_subject_name(certificate), text, room);
    return text[0] != '\0' ? text : tls_certificate_names(certificate, text, room);
}

/* Whether a name such as "*.corp.example" covers a host with an underscore, which OpenSSL's wildcards do not.
 */
static bool covers(const ASN1_STRING *name, const char *host)
{
    struct bytes pattern = bytes_of(name);
    const char *rest = strchr(host, '.');
    size_t length = rest != NULL ? strlen(rest) : 0;

    return strchr(host, '_') != NULL && rest != host && length > 1 && strchr(rest + 1, '.') != NULL &&
           pattern.length == length + 1 && pattern.data[0] == '*' &&
           strncasecmp(pattern.data + 1, rest, length) == 0;
}

bool tls_certificate_is_for(X509 *certificate, const char *host)
{
    if (X509_check_host(certificate, host, 0,
                        X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS | X509_CHECK_FLAG_NEVER_CHECK_SUBJECT,
                        NULL) == 1)
        return true;
    GENERAL_NAMES *names = X509_get_ext_d2i(certificate, NID_subject_alt_name, NULL, NULL);
    bool found = false;
    for (int i = 0; i < sk_GENERAL_NAME_num(names) && !found; i++) {
        const GENERAL_NAME *name = sk_GENERAL_NAME_value(names, i);
        found = name->type == GEN_DNS && covers(name->d.dNSName, host);
    }
    GENERAL_NAMES_free(names);
    return found;
}

bool tls_certificate_has_address_as_name(X509 *certificate, const char *address)
{
    unsigned char wanted[sizeof(struct in6_addr)], there[sizeof(struct in6_addr)];
    size_t length = parse_address(address, wanted);
    GENERAL_NAMES *names =
        length > 0 ? X509_get_ext_d2i(certificate, NID_subject_alt_name, NULL, NULL) : NULL;
    bool found = false;
    for (int i = 0; i < sk_GENERAL_NAME_num(names) && !found; i++) {
        const GENERAL_NAME *name = sk_GENERAL_NAME_value(names, i);
        found = name->type == GEN_DNS && address_in(name->d.dNSName, there) == length &&
                memcmp(there, wanted, length) == 0;
    }
    GENERAL_NAMES_free(names);
    return found;
}

static int64_t expiry(const X509 *certificate)
{
    return tls_seconds(X509_get0_notAfter(certificate));
}

X509 *tls_first_to_expire(const STACK_OF(X509) * verified)
{
    X509 *first = NULL;
    for (int i = 0; i < sk_X509_num(verified); i++)
        if (first == NULL || expiry(sk_X509_value(verified, i)) < expiry(first))
            first = sk_X509_value(verified, i);
    return first;
}

static bool is_issued_by(X509 *issuer, X509 *certificate)
{
    return X509_check_issued(issuer, certificate) == X509_V_OK;
}

/* Returns: of the issuers that were sent, the one that is valid for longest; NULL. */
static X509 *issuer_among(const STACK_OF(X509) * sent, X509 *certificate)
{
    X509 *issuer = NULL;
    for (int i = 0; i < sk_X509_num(sent); i++) {
        X509 *candidate = sk_X509_value(sent, i);
        if (is_issued_by(candidate, certificate) && !is_issued_by(candidate, candidate) &&
            (issuer == NULL || expiry(candidate) > expiry(issuer)))
            issuer = candidate;
    }
    return issuer;
}

X509 *tls_first_to_expire_of_sent(X509 *leaf, const STACK_OF(X509) * sent)
{
    X509 *first = leaf, *at = leaf;
    for (int i = 0; i < sk_X509_num(sent) && (at = issuer_among(sent, at)) != NULL; i++)
        if (expiry(at) < expiry(first))
            first = at;
    return first;
}

int tls_certificate_pin(X509 *certificate, struct tls_pin *pin)
{
    unsigned char *der = NULL;
    int length = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(certificate), &der);
    int digested = length > 0 && EVP_Digest(der, (size_t)length, pin->sha256, NULL, EVP_sha256(), NULL) == 1;
    OPENSSL_free(der);
    return digested ? 0 : -1;
}
