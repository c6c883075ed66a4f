#include "diagnosis.h"

enum { SAID_BYTES = 256 };

bool probe_is_plaintext_peer(const struct probe_result *result, const struct probe_address *address)
{
    (void)result;
    return address->err.reason == ERR_TLS_PLAINTEXT_PEER;
}

void probe_tells_plaintext_peer(const struct probe_group *group, struct text_line *line)
{
    char said[SAID_BYTES];
    probe_said(probe_group_first(group), said, sizeof said);
    text_append(line, "At %s no TLS is spoken%s%s%s: leave --tls out, or take the port that has TLS.",
                probe_group_place(group).text, said[0] != '\0' ? ", the answer is \"" : "", said,
                said[0] != '\0' ? "\"" : "");
}

bool probe_is_tls_peer(const struct probe_result *result, const struct probe_address *address)
{
    (void)result;
    return address->err.reason == ERR_DIALOGUE_TLS_PEER;
}

void probe_tells_tls_peer(const struct probe_group *group, struct text_line *line)
{
    bool assumed = probe_group_first(group)->err.detail == ERR_DETAIL_TLS_ASSUMED;
    text_append(line, "At %s TLS %s spoken, and this probe came in plain: try --tls.",
                probe_group_place(group).text, assumed ? "may be" : "is");
}

bool probe_is_silent_peer(const struct probe_result *result, const struct probe_address *address)
{
    (void)result;
    return address->err.reason == ERR_TLS_SILENT_PEER;
}

void probe_tells_silent_peer(const struct probe_group *group, struct text_line *line)
{
    text_append(line,
                "At %s the connection is accepted and the TLS handshake stays without a byte in answer: the "
                "service may "
                "hang, or speak plain and wait for its client (try without --tls), or a filter on the way "
                "swallows TLS.",
                probe_group_place(group).text);
}

bool probe_is_tls_version(const struct probe_result *result, const struct probe_address *address)
{
    (void)result;
    return address->err.detail == ERR_DETAIL_TLS_VERSION;
}

void probe_tells_tls_version(const struct probe_group *group, struct text_line *line)
{
    text_append(
        line,
        "At %s no version of TLS is spoken that is allowed here: the server needs TLS 1.2 at least, or "
        "1.3 where "
        "--tls-min asks for it.",
        probe_group_place(group).text);
}

bool probe_is_client_certificate(const struct probe_result *result, const struct probe_address *address)
{
    (void)result;
    return address->err.reason == ERR_TLS_CLIENT_CERTIFICATE;
}

void probe_tells_client_certificate(const struct probe_group *group, struct text_line *line)
{
    const struct probe_address *first = probe_group_first(group);
    if (first->err.detail == ERR_DETAIL_CERTIFICATE_REFUSED)
        text_append(line, "At %s %s: it must come from a CA that the server trusts.",
                    probe_group_place(group).text, first->err.text);
    else
        text_append(line, "At %s a client certificate is required: give --cert and --key.",
                    probe_group_place(group).text);
}

bool probe_is_tls_cut(const struct probe_result *result, const struct probe_address *address)
{
    (void)result;
    return address->err.detail == ERR_DETAIL_TLS_CUT;
}

void probe_tells_tls_cut(const struct probe_group *group, struct text_line *line)
{
    bool certificate = probe_group_first(group)->tls.pin[0] != '\0';
    text_append(
        line,
        "At %s the connection is cut in the middle of the TLS handshake, %s the server's certificate: "
        "see the "
        "server's log; if it has nothing of this, a middlebox cuts, which may dislike the name that is "
        "asked for "
        "(another --servername tells).",
        probe_group_place(group).text, certificate ? "after" : "before");
}

bool probe_is_tls_stalled(const struct probe_result *result, const struct probe_address *address)
{
    (void)result;
    return address->err.reason == ERR_TLS_TIMEOUT;
}

void probe_tells_tls_stalled(const struct probe_group *group, struct text_line *line)
{
    text_append(line,
                "At %s the TLS handshake begins and then stands still: the path may lose large packets, such "
                "as those "
                "with the certificate (a wrong MTU, ICMP filtered), or the server hangs.",
                probe_group_place(group).text);
}

bool probe_is_tls_alert(const struct probe_result *result, const struct probe_address *address)
{
    (void)result;
    return address->err.reason == ERR_TLS_ALERT;
}

void probe_tells_tls_alert(const struct probe_group *group, struct text_line *line)
{
    text_append(
        line,
        "At %s %s: the server's log says what it misses; often it knows no such name (--servername), no such "
        "protocol (--alpn) or no cipher of ours.",
        probe_group_place(group).text, probe_group_first(group)->err.text);
}

bool probe_is_tls_protocol(const struct probe_result *result, const struct probe_address *address)
{
    (void)result;
    return address->err.reason == ERR_TLS_PROTOCOL;
}

void probe_tells_tls_protocol(const struct probe_group *group, struct text_line *line)
{
    text_append(line,
                "At %s something begins like TLS and goes wrong: %s; see the server's log, or what changes "
                "bytes on the "
                "way.",
                probe_group_place(group).text, probe_group_first(group)->err.text);
}
