#include "diagnosis.h"
#include "tcpgreet/core/starttls.h"

enum { QUOTE_BYTES = 256 };

bool probe_is_starttls(const struct probe_result *result, const struct probe_address *address)
{
    (void)result;
    return address->err.reason == ERR_TLS_STARTTLS;
}

void probe_reports_starttls(const struct probe_group *group, struct text_line *line)
{
    text_append(line, "At %s TLS cannot begin: %s.", probe_group_place(group).text,
                probe_group_first(group)->err.text);
}

/* How TLS is reached at a peer whose protocol is known by what it sent first. */
static void put_remedy(const struct probe_address *address, struct text_line *line)
{
    enum starttls_protocol protocol;
    if (!starttls_of_service(service_identify(err_received(&address->err)), &protocol)) {
        text_append(line, "leave out --tls, or use the TLS port.");
        return;
    }
    text_append(line, "give --starttls %s", starttls_word(protocol));
    if (starttls_tls_port(protocol) != 0)
        text_append(line, ", or use the TLS port, usually %u", (unsigned)starttls_tls_port(protocol));
    text_append(line, ".");
}

bool probe_is_plaintext_peer(const struct probe_result *result, const struct probe_address *address)
{
    (void)result;
    return address->err.reason == ERR_TLS_PLAINTEXT_PEER;
}

void probe_reports_plaintext_peer(const struct probe_group *group, struct text_line *line)
{
    char quoted[QUOTE_BYTES];
    probe_quote_peer(probe_group_first(group), quoted, sizeof quoted);
    text_append(line, "At %s the server does not use TLS%s%s%s: ", probe_group_place(group).text,
                quoted[0] != '\0' ? ", it replied \"" : "", quoted, quoted[0] != '\0' ? "\"" : "");
    put_remedy(probe_group_first(group), line);
}

bool probe_is_tls_peer(const struct probe_result *result, const struct probe_address *address)
{
    (void)result;
    return address->err.reason == ERR_DIALOGUE_TLS_PEER;
}

void probe_reports_tls_peer(const struct probe_group *group, struct text_line *line)
{
    text_append(line, "At %s the server uses TLS, and this probe is plain: add --tls.",
                probe_group_place(group).text);
}

/* Whether the server has asked the client to begin TLS. */
static bool has_agreed(const struct probe_address *address)
{
    return address->spans[PROBE_STARTTLS].end_ns >= 0 && address->last > PROBE_STARTTLS;
}

bool probe_is_silent_peer(const struct probe_result *result, const struct probe_address *address)
{
    (void)result;
    return address->err.reason == ERR_TLS_SILENT_PEER;
}

void probe_reports_silent_peer(const struct probe_group *group, struct text_line *line)
{
    if (probe_group_first(group)->last == PROBE_STARTTLS) {
        text_append(
            line,
            "At %s the connection is accepted and nothing is sent while STARTTLS is awaited: the service hangs, uses TLS from the start (give --tls instead of --starttls), or is another one.",
            probe_group_place(group).text);
        return;
    }
    if (has_agreed(probe_group_first(group))) {
        text_append(
            line,
            "At %s the server agrees to STARTTLS and does not reply to the ClientHello: what begins TLS there hangs. See its log.",
            probe_group_place(group).text);
        return;
    }
    text_append(
        line,
        "At %s the connection is accepted and there is no reply to the ClientHello: the service hangs, or does not use TLS and waits for its client (try without --tls), or a filter on the path drops TLS.",
        probe_group_place(group).text);
}

bool probe_is_tls_version(const struct probe_result *result, const struct probe_address *address)
{
    (void)result;
    return address->err.detail == ERR_DETAIL_TLS_VERSION;
}

void probe_reports_tls_version(const struct probe_group *group, struct text_line *line)
{
    text_append(
        line,
        "At %s the server supports no TLS version that is allowed here: it needs at least TLS 1.2, or 1.3 where --tls-min requires it.",
        probe_group_place(group).text);
}

bool probe_is_client_certificate(const struct probe_result *result, const struct probe_address *address)
{
    (void)result;
    return address->err.reason == ERR_TLS_CLIENT_CERTIFICATE;
}

/* What may help against an alert about our certificate. Source: RFC 8446 section 6.2. */
static const char *remedy_of_refusal(int alert)
{
    enum { UNSUPPORTED_CERTIFICATE = 43, REVOKED = 44, EXPIRED = 45, UNKNOWN_CA = 48 };
    switch (alert) {
    case UNSUPPORTED_CERTIFICATE:
        return "it must be for clients (extended key usage clientAuth), with a key of a type that the server supports";
    case REVOKED:
        return "it was revoked, a new one with a new key is needed";
    case EXPIRED:
        return "renew it; if its dates are right, check those of the CAs above it, and the server's clock";
    case UNKNOWN_CA:
        return "it must come from a CA that the server trusts";
    default:
        return "check its dates and its purpose, and see the server's log";
    }
}

void probe_reports_client_certificate(const struct probe_group *group, struct text_line *line)
{
    const struct probe_address *first = probe_group_first(group);
    if (first->err.detail == ERR_DETAIL_CERTIFICATE_REFUSED)
        text_append(line, "At %s %s: %s.", probe_group_place(group).text, first->err.text,
                    remedy_of_refusal(first->err.alert));
    else if (first->err.detail == ERR_DETAIL_CERTIFICATE_UNFIT)
        text_append(line,
                    "At %s a client certificate is required; the one of --cert was not sent, as it fits no "
                    "signature algorithm that both sides allow: one with another type of key or of signature "
                    "may help.",
                    probe_group_place(group).text);
    else
        text_append(line, "At %s a client certificate is required: add --cert and --key.",
                    probe_group_place(group).text);
}

bool probe_is_tls_cut(const struct probe_result *result, const struct probe_address *address)
{
    (void)result;
    return address->err.detail == ERR_DETAIL_TLS_CUT || address->err.detail == ERR_DETAIL_TLS_UNANSWERED;
}

/* Services that begin TLS only after an exchange in plain text, and wait for the client to begin that. */
static const char *own_way(const struct probe_address *address)
{
    enum { LDAP = 389, POSTGRESQL = 5432 };
    switch (endpoint_port(&address->peer)) {
    case LDAP:
        return " LDAP on port 389 begins TLS its own way: give --starttls ldap.";
    case POSTGRESQL:
        return " PostgreSQL on port 5432 begins TLS its own way: give --starttls postgres.";
    default:
        return "";
    }
}

void probe_reports_tls_cut(const struct probe_group *group, struct text_line *line)
{
    const struct probe_address *first = probe_group_first(group);
    bool certificate = first->tls.pin[0] != '\0';
    const char *ended = err_is_of_reset(first->err.native) ? "reset"
                        : first->err.native != 0           ? "lost"
                                                           : "closed";

    if (first->err.detail == ERR_DETAIL_TLS_UNANSWERED && has_agreed(first)) {
        text_append(
            line,
            "At %s the server agrees to STARTTLS, and the connection is %s on the ClientHello, without a reply: its TLS does not work. See its log.",
            probe_group_place(group).text, ended);
        return;
    }
    if (first->err.detail == ERR_DETAIL_TLS_UNANSWERED) {
        text_append(
            line,
            "At %s the connection is %s on the ClientHello, without a reply: the port does not use TLS, or does not begin with it.%s See the server's log; a middlebox that ends it on the SNI looks the same (try without --tls, or another --servername).",
            probe_group_place(group).text, ended, own_way(first));
        return;
    }
    text_append(
        line,
        "At %s the connection is %s during the TLS handshake, %s the server's certificate: see the server's log. If it has nothing about this, a middlebox ends the connection, perhaps because of the SNI (try another --servername).",
        probe_group_place(group).text, ended, certificate ? "after" : "before");
}

bool probe_is_tls_stalled(const struct probe_result *result, const struct probe_address *address)
{
    (void)result;
    return address->err.reason == ERR_TLS_TIMEOUT;
}

void probe_reports_tls_stalled(const struct probe_group *group, struct text_line *line)
{
    if (probe_group_first(group)->last == PROBE_STARTTLS) {
        text_append(line, "At %s STARTTLS begins and then stalls, the server hangs: %s.",
                    probe_group_place(group).text, probe_group_first(group)->err.text);
        return;
    }
    text_append(
        line,
        "At %s the TLS handshake begins and then stalls: the path may drop large packets, such as those with the certificate (a wrong MTU, ICMP filtered), or the server hangs.",
        probe_group_place(group).text);
}

bool probe_is_tls_alert(const struct probe_result *result, const struct probe_address *address)
{
    (void)result;
    return address->err.reason == ERR_TLS_ALERT;
}

void probe_reports_tls_alert(const struct probe_group *group, struct text_line *line)
{
    text_append(
        line,
        "At %s %s: see the server's log. Often it does not know the SNI (--servername) or the protocol (--alpn), or supports none of the offered ciphers.",
        probe_group_place(group).text, probe_group_first(group)->err.text);
}

bool probe_is_tls_protocol(const struct probe_result *result, const struct probe_address *address)
{
    (void)result;
    return address->err.reason == ERR_TLS_PROTOCOL;
}

void probe_reports_tls_protocol(const struct probe_group *group, struct text_line *line)
{
    text_append(
        line,
        "At %s the TLS handshake begins and then fails: %s. See the server's log, or look for a middlebox that changes bytes.",
        probe_group_place(group).text, probe_group_first(group)->err.text);
}

bool probe_is_tls_no_alert(const struct probe_result *result, const struct probe_address *address)
{
    (void)result;
    return address->err.reason == ERR_TLS_NO_ALERT;
}

void probe_reports_tls_no_alert(const struct probe_group *group, struct text_line *line)
{
    text_append(
        line,
        "At %s the TLS handshake succeeds and no alert follows: the server does not refuse as --expect-alert demands.",
        probe_group_place(group).text);
}
