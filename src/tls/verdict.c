#include "verdict.h"

#include <errno.h>
#include <openssl/x509v3.h>
#include <string.h>
#include <time.h>

#include "certificate.h"

static void format_time(int64_t seconds, char *text, size_t room)
{
    time_t when = (time_t)seconds;
    struct tm tm;
    if (gmtime_r(&when, &tm) == NULL || strftime(text, room, "%Y-%m-%d %H:%M UTC", &tm) == 0)
        snprintf(text, room, "?");
}

/* "3 days", "2 hours": whole ones of the largest unit that fits, and `more` of them. */
static void format_span(int64_t seconds, int more, char *text, size_t room)
{
    static const struct {
        int64_t seconds;
        const char *name;
    } units[] = {{86400, "day"}, {3600, "hour"}, {60, "minute"}, {1, "second"}};
    size_t i = 0;

    while (i < 3 && seconds < units[i].seconds)
        i++;
    long long n = (long long)(seconds / units[i].seconds) + more;
    snprintf(text, room, "%lld %s%s", n, units[i].name, n == 1 ? "" : "s");
}

void tls_verdict_fini(struct tls_verdict *verdict)
{
    X509_free(verdict->certificate);
    X509_free(verdict->leaf);
    sk_X509_pop_free(verdict->chain, X509_free);
    err_free(verdict->unread);
    *verdict = (struct tls_verdict){.whose = verdict->whose};
}

struct tls_verdict *tls_verdict_of(const SSL *ssl)
{
    return SSL_get_app_data(ssl);
}

/* A certificate that stands above another, and is none of a CA. */
static bool is_no_ca(int code)
{
    return code == X509_V_ERR_INVALID_CA || code == X509_V_ERR_INVALID_NON_CA ||
           code == X509_V_ERR_KEYUSAGE_NO_CERTSIGN;
}

/* "the certificate of localhost", "the CA certificate "X" above it". */
static const char *put_which(const struct tls_verdict *verdict, char *text, size_t room)
{
    char name[200];
    if (verdict->depth == 0 && verdict->whose != NULL)
        snprintf(text, room, "the certificate of %s", verdict->whose);
    else if (verdict->depth == 0)
        snprintf(text, room, "the client's certificate");
    else
        snprintf(text, room, "the %scertificate \"%s\" above that of %s",
                 is_no_ca(verdict->code) ? "" : "CA ",
                 verdict->certificate != NULL
                     ? tls_name_text(X509_get_subject_name(verdict->certificate), name, sizeof name)
                     : "?",
                 verdict->whose != NULL ? verdict->whose : "the client");
    return text;
}

/* What goes with each failure of a certificate. */
static struct err_facts facts_of(const struct tls_verdict *verdict, enum err_detail detail)
{
    return (struct err_facts){
        .detail = detail, .native = verdict->code, .depth = verdict->depth, .name = verdict->whose};
}

static int fail_dates(const struct tls_verdict *verdict, const char *which, struct err *err)
{
    struct err_facts facts = facts_of(verdict, ERR_DETAIL_NONE);
    bool expired = verdict->code == X509_V_ERR_CERT_HAS_EXPIRED;
    const ASN1_TIME *limit =
        expired ? X509_get0_notAfter(verdict->certificate) : X509_get0_notBefore(verdict->certificate);
    int64_t seconds = tls_seconds(limit);
    int64_t passed = (int64_t)time(NULL) - seconds;
    char when[32], span[32];

    format_time(seconds, when, sizeof when);
    format_span(expired ? passed : -passed, expired ? 0 : 1, span, sizeof span);
    if (expired && !verdict->is_sent) {
        facts.detail = ERR_DETAIL_ANCHOR_EXPIRED;
        return err_set_facts(err, ERR_CERT_EXPIRED, &facts,
                             "%s expired %s ago (%s), and was not sent: replace it in the trust store (%s)",
                             which, span, when,
                             verdict->whose != NULL ? "the system's, or --ca" : "--client-ca");
    }
    if (expired)
        return err_set_facts(err, ERR_CERT_EXPIRED, &facts, "%s expired %s ago (%s)%s", which, span, when,
                             verdict->whose != NULL ? "; ask its operator to renew it"
                                                    : "; the client must renew it");
    return err_set_facts(
        err, ERR_CERT_NOT_YET_VALID, &facts,
        "%s is not valid before %s (in less than %s): check the clocks of this machine and of its issuer",
        which, when, span);
}

/* names: those that there are, of any kind. */
static int fail_nameless(const struct tls_verdict *verdict, const char *which, const char *names,
                         struct err *err)
{
    struct err_facts facts = facts_of(verdict, ERR_DETAIL_NO_NAMES);
    if (names[0] != '\0')
        return err_set_facts(err, ERR_CERT_NAME, &facts,
                             "%s has no host name or address in subjectAltName, only %s", which, names);
    return err_set_facts(err, ERR_CERT_NAME, &facts,
                         "%s has no host name or address in subjectAltName (a common name is not used)",
                         which);
}

static int fail_name(const struct tls_verdict *verdict, const char *which, struct err *err)
{
    char names[200] = "";
    X509 *certificate = verdict->leaf != NULL ? verdict->leaf : verdict->certificate;
    struct err_facts facts = facts_of(verdict, ERR_DETAIL_OTHER_NAMES);

    if (certificate == NULL || tls_certificate_alternative_names(certificate, names, sizeof names) == 0)
        return fail_nameless(verdict, which, names, err);
    if (tls_certificate_has_address_as_name(certificate, verdict->whose)) {
        facts.detail = ERR_DETAIL_ADDRESS_AS_NAME;
        return err_set_facts(
            err, ERR_CERT_NAME, &facts,
            "%s has %s in subjectAltName as a DNS name, where no client looks for an address: it must be an IP address there (IP:%s)",
            which, verdict->whose, verdict->whose);
    }
    return err_set_facts(err, ERR_CERT_NAME, &facts,
                         "%s is for %s, not for %s (--servername sets the name to expect)", which, names,
                         verdict->whose);
}

static int fail_untrusted(const struct tls_verdict *verdict, const char *which, struct err *err)
{
    char issuer[200] = "?";
    if (verdict->certificate != NULL)
        tls_name_text(X509_get_issuer_name(verdict->certificate), issuer, sizeof issuer);
    struct err_facts facts = facts_of(verdict, ERR_DETAIL_ISSUER_UNKNOWN);
    if (verdict->is_other_key) {
        facts.detail = ERR_DETAIL_ISSUER_OTHER_KEY;
        return err_set_facts(
            err, ERR_CERT_UNTRUSTED, &facts,
            "%s was issued by \"%s\": a CA of that name is trusted here, but has another key (%s FILE trusts a CA)",
            which, issuer, verdict->whose != NULL ? "--ca" : "--client-ca");
    }
    return err_set_facts(err, ERR_CERT_UNTRUSTED, &facts,
                         "%s was issued by \"%s\", which is not trusted here (%s FILE trusts a CA%s)", which,
                         issuer, verdict->whose != NULL ? "--ca" : "--client-ca",
                         verdict->leaf_alone
                             ? "; if that is an intermediate CA, the peer must send its certificate along"
                             : "");
}

static const char *path_or(const char *path, const char *none)
{
    return path[0] != '\0' ? path : none;
}

/* Only clients use the system's trust store. Without one, no certificate of the chain is to blame. */
static int fail_store(const struct tls_verdict *verdict, struct err *err)
{
    struct err_facts facts = {.native = verdict->code, .name = verdict->whose};
    if (verdict->store == TLS_STORE_UNHASHED)
        return err_set_facts(
            err, ERR_CERT_NO_TRUST_STORE, &facts,
            "the certificate of %s cannot be verified: the trust store %s has no hashed links (run openssl rehash %s, or give --ca FILE)",
            verdict->whose, verdict->directory, verdict->directory);
    if (verdict->store == TLS_STORE_UNREADABLE)
        return err_set_facts(
            err, ERR_CERT_NO_TRUST_STORE, &facts,
            "the certificate of %s cannot be verified: the trust store %s cannot be read: %s (allow it, or give --ca FILE)",
            verdict->whose, verdict->directory, strerror(verdict->store_native));
    return err_set_facts(
        err, ERR_CERT_NO_TRUST_STORE, &facts,
        "the certificate of %s cannot be verified: there is no trust store on this machine, neither %s nor %s (install the package ca-certificates, or give --ca FILE)",
        verdict->whose, path_or(tls_store_file(), "SSL_CERT_FILE, which is empty,"),
        path_or(tls_store_directory(), "SSL_CERT_DIR, which is empty"));
}

static int fail_pin(const struct tls_verdict *verdict, const char *which, struct err *err)
{
    struct tls_pin pin;
    char text[TLS_PIN_TEXT_BYTES] = "?";
    if (verdict->leaf != NULL && tls_certificate_pin(verdict->leaf, &pin) == 0)
        tls_pin_format(&pin, text);
    struct err_facts facts = facts_of(verdict, ERR_DETAIL_NONE);
    return err_set_facts(err, ERR_CERT_PIN, &facts, "%s has another key than --pin allows: %s", which, text);
}

static bool is_about_a_list(int code)
{
    static const int codes[] = {X509_V_ERR_UNABLE_TO_GET_CRL,
                                X509_V_ERR_UNABLE_TO_GET_CRL_ISSUER,
                                X509_V_ERR_CRL_HAS_EXPIRED,
                                X509_V_ERR_CRL_NOT_YET_VALID,
                                X509_V_ERR_CRL_SIGNATURE_FAILURE,
                                X509_V_ERR_UNABLE_TO_DECRYPT_CRL_SIGNATURE,
                                X509_V_ERR_ERROR_IN_CRL_LAST_UPDATE_FIELD,
                                X509_V_ERR_ERROR_IN_CRL_NEXT_UPDATE_FIELD,
                                X509_V_ERR_KEYUSAGE_NO_CRL_SIGN,
                                X509_V_ERR_UNHANDLED_CRITICAL_CRL_EXTENSION,
                                X509_V_ERR_DIFFERENT_CRL_SCOPE,
                                X509_V_ERR_CRL_PATH_VALIDATION_ERROR};
    for (size_t i = 0; i < sizeof codes / sizeof codes[0]; i++)
        if (codes[i] == code)
            return true;
    return false;
}

static int fail_revoked(const struct tls_verdict *verdict, const char *which, struct err *err)
{
    struct err_facts facts = facts_of(verdict, ERR_DETAIL_NONE);
    char when[32];
    format_time(verdict->since, when, sizeof when);
    return err_set_facts(err, ERR_CERT_REVOKED, &facts, "%s was revoked by its issuer (%s)%s", which, when,
                         verdict->whose != NULL ? "; ask its operator to replace it" : "");
}

/* No usable list shows whether it was revoked. */
static int fail_revocation(const struct tls_verdict *verdict, const char *which, struct err *err)
{
    struct err_facts facts = facts_of(verdict, ERR_DETAIL_REVOCATION_UNKNOWN);
    char issuer[200] = "?", when[32];
    if (verdict->certificate != NULL)
        tls_name_text(X509_get_issuer_name(verdict->certificate), issuer, sizeof issuer);
    format_time(verdict->since, when, sizeof when);
    switch (verdict->code) {
    case X509_V_ERR_UNABLE_TO_GET_CRL:
        return err_set_facts(err, ERR_CERT_UNTRUSTED, &facts,
                             "%s cannot be checked for revocation: --crl has no list of its issuer \"%s\"",
                             which, issuer);
    case X509_V_ERR_CRL_HAS_EXPIRED:
        return err_set_facts(
            err, ERR_CERT_UNTRUSTED, &facts,
            "%s cannot be checked for revocation: the list of \"%s\" in --crl expired (%s); get the current one",
            which, issuer, when);
    case X509_V_ERR_CRL_NOT_YET_VALID:
        return err_set_facts(
            err, ERR_CERT_UNTRUSTED, &facts,
            "%s cannot be checked for revocation: the list of \"%s\" in --crl is not valid before %s; check the clock of this machine",
            which, issuer, when);
    default:
        return err_set_facts(
            err, ERR_CERT_UNTRUSTED, &facts,
            "%s cannot be checked for revocation: the list of \"%s\" in --crl cannot be used (%s)", which,
            issuer, X509_verify_cert_error_string(verdict->code));
    }
}

/* Failures that differ only in their message. */
static const struct {
    int code;
    enum err_reason reason;
    enum err_detail detail;
    const char *sentence; /* after which certificate it is */
} others[] = {
    {X509_V_ERR_KEYUSAGE_NO_DIGITAL_SIGNATURE, ERR_CERT_PURPOSE, ERR_DETAIL_KEY_USAGE,
     "may not be used for signatures, which every TLS handshake needs (its key usage lacks digitalSignature)"},
    {X509_V_ERR_INVALID_CA, ERR_CERT_UNTRUSTED, ERR_DETAIL_NONE,
     "may not sign others: it is not that of a CA (basicConstraints, keyUsage)"},
    {X509_V_ERR_INVALID_NON_CA, ERR_CERT_UNTRUSTED, ERR_DETAIL_NONE,
     "may not sign others: it is not that of a CA (basicConstraints)"},
    {X509_V_ERR_KEYUSAGE_NO_CERTSIGN, ERR_CERT_UNTRUSTED, ERR_DETAIL_NONE,
     "may not sign others (its key usage lacks keyCertSign)"},
    {X509_V_ERR_PATH_LENGTH_EXCEEDED, ERR_CERT_UNTRUSTED, ERR_DETAIL_NONE,
     "has more CA certificates below it than it allows (the path length of its basicConstraints)"},
    {X509_V_ERR_CERT_CHAIN_TOO_LONG, ERR_CERT_UNTRUSTED, ERR_DETAIL_NONE,
     "stands in a chain of more certificates than are verified"},
    {X509_V_ERR_PERMITTED_VIOLATION, ERR_CERT_UNTRUSTED, ERR_DETAIL_NONE,
     "has a name that a CA above it may not issue certificates for (its name constraints)"},
    {X509_V_ERR_EXCLUDED_VIOLATION, ERR_CERT_UNTRUSTED, ERR_DETAIL_NONE,
     "has a name that a CA above it may not issue certificates for (its name constraints)"},
    {X509_V_ERR_SUBTREE_MINMAX, ERR_CERT_UNTRUSTED, ERR_DETAIL_NONE,
     "stands below a CA whose name constraints cannot be checked (minimum or maximum)"},
    {X509_V_ERR_UNSUPPORTED_CONSTRAINT_TYPE, ERR_CERT_UNTRUSTED, ERR_DETAIL_NONE,
     "stands below a CA whose name constraints cannot be checked (a kind of name that is not supported)"},
    {X509_V_ERR_UNSUPPORTED_CONSTRAINT_SYNTAX, ERR_CERT_UNTRUSTED, ERR_DETAIL_NONE,
     "stands below a CA whose name constraints cannot be checked (their syntax)"},
    {X509_V_ERR_UNSUPPORTED_NAME_SYNTAX, ERR_CERT_UNTRUSTED, ERR_DETAIL_NONE,
     "has a name that cannot be checked against the name constraints of a CA above it (its syntax)"},
    {X509_V_ERR_CERT_SIGNATURE_FAILURE, ERR_CERT_UNTRUSTED, ERR_DETAIL_NONE,
     "has a signature that is not its issuer's: it was changed, or another CA has the same name"},
    {X509_V_ERR_UNHANDLED_CRITICAL_EXTENSION, ERR_CERT_UNTRUSTED, ERR_DETAIL_NONE,
     "has a critical extension that this program does not know"},
};

static int fail_otherwise(const struct tls_verdict *verdict, const char *which, struct err *err)
{
    struct err_facts facts = facts_of(verdict, ERR_DETAIL_NONE);
    if (is_about_a_list(verdict->code))
        return fail_revocation(verdict, which, err);
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++)
        if (others[i].code == verdict->code) {
            facts.detail = others[i].detail;
            return err_set_facts(err, others[i].reason, &facts, "%s %s", which, others[i].sentence);
        }
    return err_set_facts(err, ERR_CERT_UNTRUSTED, &facts, "%s is rejected: %s", which,
                         X509_verify_cert_error_string(verdict->code));
}

int tls_verdict_fail(const struct tls_verdict *verdict, struct err *err)
{
    char which[600];
    struct err_facts facts = facts_of(verdict, ERR_DETAIL_NONE);
    put_which(verdict, which, sizeof which);

    if (verdict->unread != NULL)
        return err_set_from(err, verdict->unread, "%s cannot be verified: %s", which, verdict->unread->text);
    if (verdict->store != TLS_STORE_USABLE)
        return fail_store(verdict, err);
    switch (verdict->code) {
    case X509_V_ERR_OUT_OF_MEM:
        return err_set(err, ERR_INTERNAL, ENOMEM, "not enough memory to verify %s", which);
    case X509_V_ERR_CERT_HAS_EXPIRED:
    case X509_V_ERR_CERT_NOT_YET_VALID:
        return fail_dates(verdict, which, err);
    case X509_V_ERR_HOSTNAME_MISMATCH:
    case X509_V_ERR_IP_ADDRESS_MISMATCH:
        return fail_name(verdict, which, err);
    case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
        return err_set_facts(err, ERR_CERT_SELF_SIGNED, &facts,
                             "%s is self-signed, not issued by a CA (if it is the right one: %s)", which,
                             verdict->whose != NULL ? "--ca FILE, or --pin" : "--client-ca FILE");
    case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
    case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
    case X509_V_ERR_CERT_UNTRUSTED:
        return fail_untrusted(verdict, which, err);
    case X509_V_ERR_INVALID_PURPOSE:
        return err_set_facts(err, ERR_CERT_PURPOSE, &facts,
                             "%s is not for a TLS %s (see its extended key usage)", which,
                             verdict->whose != NULL ? "server" : "client");
    case X509_V_ERR_EE_KEY_TOO_SMALL:
    case X509_V_ERR_CA_KEY_TOO_SMALL:
        return err_set_facts(err, ERR_CERT_WEAK, &facts, "%s has too short a key (RSA needs 2048 bits)",
                             which);
    case X509_V_ERR_CA_MD_TOO_WEAK:
        return err_set_facts(err, ERR_CERT_WEAK, &facts, "%s is signed with a broken hash such as SHA-1",
                             which);
    case X509_V_ERR_CERT_REVOKED:
        return fail_revoked(verdict, which, err);
    case X509_V_ERR_APPLICATION_VERIFICATION:
        return fail_pin(verdict, which, err);
    default:
        return fail_otherwise(verdict, which, err);
    }
}

const char *tls_verdict_brief(int code, int depth, char *text, size_t room)
{
    static const struct {
        int code;
        const char *text;
    } brief[] = {
        {X509_V_ERR_UNSPECIFIED, "not checked (--insecure)"},
        {X509_V_ERR_OUT_OF_MEM, "not enough memory to verify it"},
        {X509_V_ERR_CERT_HAS_EXPIRED, "expired"},
        {X509_V_ERR_CERT_NOT_YET_VALID, "not yet valid"},
        {X509_V_ERR_HOSTNAME_MISMATCH, "for another name"},
        {X509_V_ERR_IP_ADDRESS_MISMATCH, "for another address"},
        {X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT, "self-signed, not issued by a CA"},
        {X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN, "its root is not trusted here"},
        {X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT, "its issuer is not trusted here"},
        {X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY, "its issuer is not trusted here"},
        {X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE, "its issuer is not trusted here"},
        {X509_V_ERR_CERT_UNTRUSTED, "its issuer is not trusted here"},
        {X509_V_ERR_INVALID_PURPOSE, "meant for another purpose"},
        {X509_V_ERR_EE_KEY_TOO_SMALL, "its key is too short"},
        {X509_V_ERR_CA_KEY_TOO_SMALL, "its key is too short"},
        {X509_V_ERR_CA_MD_TOO_WEAK, "signed with a broken hash"},
        {X509_V_ERR_CERT_REVOKED, "revoked by its issuer"},
        {X509_V_ERR_UNABLE_TO_GET_CRL, "no revocation list of its issuer"},
        {X509_V_ERR_CRL_HAS_EXPIRED, "the revocation list of its issuer has expired"},
        {X509_V_ERR_KEYUSAGE_NO_DIGITAL_SIGNATURE, "not to be used for signatures"},
        {X509_V_ERR_INVALID_CA, "may not sign others"},
        {X509_V_ERR_INVALID_NON_CA, "may not sign others"},
        {X509_V_ERR_KEYUSAGE_NO_CERTSIGN, "may not sign others"},
        {X509_V_ERR_PATH_LENGTH_EXCEEDED, "too many CA certificates below it"},
        {X509_V_ERR_PERMITTED_VIOLATION, "outside the name constraints of a CA above it"},
        {X509_V_ERR_EXCLUDED_VIOLATION, "outside the name constraints of a CA above it"},
        {X509_V_ERR_APPLICATION_VERIFICATION, "another key than --pin allows"},
    };
    const char *found = X509_verify_cert_error_string(code);
    for (size_t i = 0; i < sizeof brief / sizeof brief[0]; i++)
        if (brief[i].code == code)
            found = brief[i].text;
    snprintf(text, room, "%s%s", depth > 0 ? "a CA above it: " : "", found);
    return text;
}
