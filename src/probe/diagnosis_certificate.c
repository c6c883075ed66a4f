#include <string.h>

#include "diagnosis.h"
#include "measures.h"
#include "phrases.h"

enum { SOON_DAYS = 14, SOON_PART = 3 /* of what it was valid for in all */ };

/* The name that the certificate was held to: the host, or that of --servername. */
static const char *expected(const struct probe_group *group)
{
    const char *name = probe_group_first(group)->err.name;
    return name[0] != '\0' ? name : group->result->host;
}

static struct text_line validity(const struct probe_group *group)
{
    struct text_line text = {0};
    probe_phrase_validity(group->result, &probe_group_first(group)->tls, &text);
    return text;
}

/* The certificate at fault: the server's, or the CA's above it that expires first, and how long it has. */
static struct text_line expiring(const struct probe_group *group)
{
    const struct stream_tls_facts *facts = &probe_group_first(group)->tls;
    struct text_line text = {0};
    if (facts->expires_first[0] == '\0') {
        text_append(&text, "the certificate ");
        probe_phrase_validity(group->result, facts, &text);
    } else {
        text_append(&text, "the CA certificate \"%s\" above the server's: ", facts->expires_first);
        probe_phrase_validity_until(group->result, facts->expires_first_at, &text);
    }
    return text;
}

static bool is_untrusted(const struct probe_address *address)
{
    return address->err.reason == ERR_CERT_UNTRUSTED && !address->tls.trusted;
}

bool probe_is_no_trust_store(const struct probe_result *result, const struct probe_address *address)
{
    (void)result;
    return address->err.reason == ERR_CERT_NO_TRUST_STORE;
}

void probe_reports_no_trust_store(const struct probe_group *group, struct text_line *line)
{
    text_append(line, "At %s the fault is this machine's, not the certificate's: %s.",
                probe_group_place(group).text, probe_group_first(group)->err.text);
}

bool probe_is_missing_intermediate(const struct probe_result *result, const struct probe_address *address)
{
    (void)result;
    return is_untrusted(address) && address->tls.chain_count == 1 &&
           strcmp(address->tls.issuer, address->tls.chain[0]) != 0 &&
           address->err.detail == ERR_DETAIL_ISSUER_UNKNOWN;
}

void probe_reports_missing_intermediate(const struct probe_group *group, struct text_line *line)
{
    const char *issuer = probe_group_first(group)->tls.issuer;
    text_append(
        line,
        "At %s the server sends only its own certificate, and its issuer \"%s\" is not trusted here: if that is an intermediate CA, the server must send the full chain; if it is your own CA, use --ca FILE.",
        probe_group_place(group).text, issuer);
}

bool probe_is_self_signed(const struct probe_result *result, const struct probe_address *address)
{
    (void)result;
    return address->err.reason == ERR_CERT_SELF_SIGNED;
}

void probe_reports_self_signed(const struct probe_group *group, struct text_line *line)
{
    text_append(
        line,
        "At %s the certificate is self-signed: have it issued by a CA; if it is the right one, trust it with --ca FILE or --pin sha256:%s.",
        probe_group_place(group).text, probe_group_first(group)->tls.pin);
}

bool probe_is_cert_name(const struct probe_result *result, const struct probe_address *address)
{
    (void)result;
    return address->err.reason == ERR_CERT_NAME;
}

void probe_reports_cert_name(const struct probe_group *group, struct text_line *line)
{
    const struct probe_address *first = probe_group_first(group);

    if (first->err.detail == ERR_DETAIL_HOST_UNFIT)
        text_append(line, "At %s no certificate can fit: %s.", probe_group_place(group).text,
                    first->err.text);
    else if (first->err.detail == ERR_DETAIL_NO_NAMES)
        text_append(
            line,
            "At %s the certificate of \"%s\" has no host name or address in subjectAltName, and a common name does not count: issue it again with %s there.",
            probe_group_place(group).text, first->tls.subject, expected(group));
    else if (first->err.detail == ERR_DETAIL_ADDRESS_AS_NAME)
        text_append(
            line,
            "At %s the certificate has %s as a DNS name, where no client looks for an address: issue it again with the address as an IP address in subjectAltName (IP:%s).",
            probe_group_place(group).text, expected(group), expected(group));
    else
        text_append(
            line,
            "At %s the certificate is for %s, not for %s: the server needs a certificate for that name, or connect by one of its names (--servername sets the name to expect).",
            probe_group_place(group).text, first->tls.subject, expected(group));
}

/* Whether it is the server's own certificate; a CA above it may be at fault as well. */
static bool has_ended(const struct probe_result *result, const struct probe_address *address)
{
    return probe_has_certificate(address) && address->tls.not_after < result->started_s;
}

bool probe_is_cert_expired(const struct probe_result *result, const struct probe_address *address)
{
    (void)result;
    return address->err.reason == ERR_CERT_EXPIRED;
}

void probe_reports_cert_expired(const struct probe_group *group, struct text_line *line)
{
    const struct probe_address *first = probe_group_first(group);
    if (first->err.detail == ERR_DETAIL_ANCHOR_EXPIRED)
        text_append(line, "At %s a CA certificate of the trust store here has expired: %s.",
                    probe_group_place(group).text, first->err.text);
    else if (has_ended(group->result, first))
        text_append(line, "At %s the certificate %s: ask its operator to renew it.",
                    probe_group_place(group).text, validity(group).text);
    else
        text_append(
            line,
            "At %s a CA certificate above the server's has expired: %s; the server must send the new one.",
            probe_group_place(group).text, first->err.text);
}

/* --insecure believes what others will not. */
static bool is_believed(const struct probe_address *address)
{
    return address->err.reason == ERR_OK && probe_has_certificate(address);
}

static bool is_believed_late(const struct probe_result *result, const struct probe_address *address)
{
    return is_believed(address) && probe_expires(address) < result->started_s;
}

static bool is_believed_early(const struct probe_result *result, const struct probe_address *address)
{
    return is_believed(address) && address->tls.not_before > result->started_s;
}

bool probe_finds_cert_expired(struct probe_group *group)
{
    probe_group_keep(group, is_believed_late);
    return group->count > 0;
}

bool probe_finds_cert_early(struct probe_group *group)
{
    probe_group_keep(group, is_believed_early);
    return group->count > 0;
}

void probe_reports_cert_believed(const struct probe_group *group, struct text_line *line)
{
    text_append(
        line,
        "At %s %s; it was not verified here, but other clients reject it: ask its operator to renew it.",
        probe_group_place(group).text, expiring(group).text);
}

void probe_reports_cert_believed_early(const struct probe_group *group, struct text_line *line)
{
    text_append(
        line,
        "At %s the certificate is %s; it was not verified here, but other clients reject it, unless this machine's clock is slow.",
        probe_group_place(group).text, validity(group).text);
}

bool probe_is_cert_early(const struct probe_result *result, const struct probe_address *address)
{
    (void)result;
    return address->err.reason == ERR_CERT_NOT_YET_VALID;
}

void probe_reports_cert_early(const struct probe_group *group, struct text_line *line)
{
    const struct probe_address *first = probe_group_first(group);
    if (first->tls.not_before > group->result->started_s)
        text_append(line, "At %s the certificate is %s: check the clocks of this machine and of its issuer.",
                    probe_group_place(group).text, validity(group).text);
    else
        text_append(line, "At %s a CA certificate above the server's is not valid yet: %s.",
                    probe_group_place(group).text, first->err.text);
}

bool probe_is_cert_untrusted(const struct probe_result *result, const struct probe_address *address)
{
    (void)result;
    return address->err.reason == ERR_CERT_UNTRUSTED;
}

void probe_reports_cert_untrusted(const struct probe_group *group, struct text_line *line)
{
    const struct probe_address *first = probe_group_first(group);
    if (first->err.detail != ERR_DETAIL_ISSUER_UNKNOWN)
        text_append(line, "At %s the certificate is not trusted: %s.", probe_group_place(group).text,
                    first->err.text);
    else
        text_append(
            line,
            "At %s the certificate was issued by \"%s\", and its chain of %zu does not end at a CA that is trusted here: use --ca FILE for your own CA; for a public CA, the server may send the wrong chain.",
            probe_group_place(group).text, first->tls.issuer, first->tls.chain_count);
}

bool probe_is_cert_purpose(const struct probe_result *result, const struct probe_address *address)
{
    (void)result;
    return address->err.reason == ERR_CERT_PURPOSE;
}

void probe_reports_cert_purpose(const struct probe_group *group, struct text_line *line)
{
    const struct err *err = &probe_group_first(group)->err;
    if (err->depth > 0)
        text_append(line, "At %s a CA certificate above the server's does not allow TLS servers: %s.",
                    probe_group_place(group).text, err->text);
    else if (err->detail == ERR_DETAIL_KEY_USAGE)
        text_append(
            line,
            "At %s the certificate may not be used for signatures, which every TLS handshake needs: issue it with the key usage digitalSignature.",
            probe_group_place(group).text);
    else
        text_append(
            line, "At %s the certificate is not for TLS servers: it needs the extended key usage serverAuth.",
            probe_group_place(group).text);
}

bool probe_is_cert_revoked(const struct probe_result *result, const struct probe_address *address)
{
    (void)result;
    return address->err.reason == ERR_CERT_REVOKED;
}

void probe_reports_cert_revoked(const struct probe_group *group, struct text_line *line)
{
    const struct err *err = &probe_group_first(group)->err;
    if (err->depth == 0)
        text_append(
            line,
            "At %s the certificate was revoked by its issuer: the server needs a new certificate with a new key.",
            probe_group_place(group).text);
    else
        text_append(line, "At %s a CA certificate above the server's was revoked: %s.",
                    probe_group_place(group).text, err->text);
}

bool probe_is_cert_weak(const struct probe_result *result, const struct probe_address *address)
{
    (void)result;
    return address->err.reason == ERR_CERT_WEAK;
}

void probe_reports_cert_weak(const struct probe_group *group, struct text_line *line)
{
    text_append(
        line, "At %s the certificate is too weak: %s; issue it again, with EC P-256 and SHA-256 for example.",
        probe_group_place(group).text, probe_group_first(group)->err.text);
}

bool probe_is_cert_pin(const struct probe_result *result, const struct probe_address *address)
{
    (void)result;
    return address->err.reason == ERR_CERT_PIN;
}

void probe_reports_cert_pin(const struct probe_group *group, struct text_line *line)
{
    text_append(
        line,
        "At %s the certificate has another key than --pin allows: if the server has a new key, pin sha256:%s; if not, the connection may be intercepted.",
        probe_group_place(group).text, probe_group_first(group)->tls.pin);
}

/* A certificate of a short life is not late before most of it is over; how long a CA's is, is not known. */
static bool ends_soon(const struct probe_result *result, const struct probe_address *address)
{
    enum { DAY_S = 24 * 60 * 60 };
    int64_t left_s, life_s; /* dates are a peer's words */
    if (address->err.reason != ERR_OK || !probe_has_certificate(address) ||
        __builtin_sub_overflow(probe_expires(address), result->started_s, &left_s) ||
        __builtin_sub_overflow(address->tls.not_after, address->tls.not_before, &life_s))
        return false;
    return left_s >= 0 && left_s < (int64_t)SOON_DAYS * DAY_S &&
           (address->tls.expires_first[0] != '\0' || left_s < life_s / SOON_PART);
}

bool probe_finds_cert_ending(struct probe_group *group)
{
    probe_group_keep(group, ends_soon);
    return group->count > 0;
}

void probe_reports_cert_ending(const struct probe_group *group, struct text_line *line)
{
    if (probe_group_first(group)->tls.expires_first[0] == '\0')
        text_append(line, "At %s the certificate has %s: ask its operator to renew it.",
                    probe_group_place(group).text, validity(group).text);
    else
        text_append(line, "At %s %s: the server needs a chain that stays valid.",
                    probe_group_place(group).text, expiring(group).text);
}
