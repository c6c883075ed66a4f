#include "measures.h"
#include "phrases.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "tcpgreet/format/serialize.h"

#define PROBE_SCHEMA "tcpgreet.probe.v1"

static void put_key(FILE *out, const char *key)
{
    (void)fprintf(out, ",\"%s\":", key);
}

static void put_text(FILE *out, const char *key, const char *text)
{
    put_key(out, key);
    serialize_quoted(out, text);
}

/* Empty is null. */
static void put_known(FILE *out, const char *key, const char *text)
{
    put_key(out, key);
    if (text[0] == '\0')
        (void)fputs("null", out);
    else
        serialize_quoted(out, text);
}

static void put_bool(FILE *out, const char *key, bool truth)
{
    put_key(out, key);
    (void)fputs(truth ? "true" : "false", out);
}

/* Below 0 is null. */
static void put_seconds(FILE *out, const char *key, int64_t ns)
{
    put_key(out, key);
    (void)fputs(ns < 0 ? "null" : serialize_seconds(ns).text, out);
}

/* Source: RFC 3339, which has years of four digits. */
static void put_time(FILE *out, const char *key, int64_t seconds)
{
    char text[sizeof("9999-12-31T23:59:59Z")];
    time_t time = (time_t)seconds;
    struct tm utc;

    bool fits = gmtime_r(&time, &utc) != NULL && utc.tm_year >= 1000 - 1900 && utc.tm_year <= 9999 - 1900;
    if (!fits || strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &utc) == 0)
        text[0] = '\0';
    put_known(out, key, text);
}

/* Reason and text; text is null where the reason is ok. */
static void put_err(FILE *out, const struct err *err)
{
    put_text(out, "reason", err_word(err->reason));
    put_known(out, "text", err->text);
}

/* The port is that of the addresses, or that a proxy is asked for; without either it is what the target ends
 * with, where that is a number. */
static void put_port(FILE *out, const struct probe_result *result)
{
    const char *colon = strrchr(result->target, ':');
    char *end = NULL;
    unsigned long port = result->port;

    if (result->address_count > 0 && result->proxy[0] == '\0')
        port = endpoint_port(&result->addresses[0].peer);
    else if (port == 0 && colon != NULL && colon[1] >= '0' && colon[1] <= '9')
        port = strtoul(colon + 1, &end, 10);
    put_key(out, "port");
    if (port == 0 || port > UINT16_MAX || (end != NULL && *end != '\0'))
        (void)fputs("null", out);
    else
        (void)fprintf(out, "%lu", port);
}

/* What the peer sent first, and what service that is. Shape: NULL: not known, or not the same for all. */
static void put_peer(FILE *out, const struct probe_address *address)
{
    char first[4 * SERVICE_FIRST_BYTES + 4];

    put_known(out, "peer_said", address != NULL ? probe_phrase_first(address, first, sizeof(first)) : "");
    put_known(out, "service", address != NULL ? probe_service_word(address) : "");
}

static bool all_alike(const struct probe_result *result)
{
    for (size_t i = 1; i < result->address_count; i++)
        if (strcmp(probe_service_word(&result->addresses[i]), probe_service_word(&result->addresses[0])) != 0)
            return false;
    return result->address_count > 0;
}

static void put_head(FILE *out, const struct probe_result *result)
{
    (void)fputs("{\"schema\":\"" PROBE_SCHEMA "\"", out);
    put_text(out, "target", result->target);
    if (result->line > 0)
        (void)fprintf(out, ",\"line\":%zu", result->line);
    put_text(out, "host", result->host);
    put_port(out, result);
    put_known(out, "proxy", result->proxy);
    put_bool(out, "tls", result->tls);
    put_text(out, "until", probe_until_word(result->until));
    put_known(out, "verified", probe_verified_word(probe_result_verified(result)));
    put_peer(out, result->address_count == 1 || all_alike(result) ? &result->addresses[0] : NULL);
    put_text(out, "require", result->require_any ? "any" : "all");
    put_time(out, "time", result->started_s);
    put_seconds(out, "duration_seconds", result->total_ns);
    (void)fputs(",\"verdict\":{\"word\":", out);
    serialize_quoted(out, err_word(result->verdict.reason));
    (void)fprintf(out, ",\"exit_code\":%d", err_exit_code(result->verdict.reason));
    put_known(out, "text", result->verdict.text);
    (void)fputc('}', out);
}

static void put_answers(FILE *out, const struct probe_result *result)
{
    (void)fputs(",\"answers\":[", out);
    for (int family = 0; family < RACE_FAMILIES; family++) {
        const struct probe_answer *answer = &result->answers[family];
        (void)fprintf(out, "%s{\"family\":\"%s\"", family > 0 ? "," : "",
                      probe_family_word((enum race_family)family));
        put_bool(out, "asked", answer->asked);
        (void)fprintf(out, ",\"addresses\":%zu", answer->count);
        put_seconds(out, "seconds", answer->asked ? probe_span_ns(&answer->span) : -1);
        put_err(out, &answer->err);
        (void)fputc('}', out);
    }
    (void)fputc(']', out);
}

static void put_phases(FILE *out, const struct probe_address *address)
{
    const char *between = "";

    (void)fputs(",\"phases\":{", out);
    for (int phase = 0; phase < PROBE_PHASES; phase++) {
        const struct probe_span *span = &address->spans[phase];
        if (span->begin_ns < 0)
            continue;
        (void)fprintf(out, "%s\"%s\":{\"begin_seconds\":%s", between,
                      probe_phase_name((enum probe_phase)phase), serialize_seconds(span->begin_ns).text);
        put_seconds(out, "seconds", probe_span_ns(span));
        (void)fputc('}', out);
        between = ",";
    }
    (void)fputc('}', out);
}

static void put_local(FILE *out, const struct probe_address *address)
{
    char text[ENDPOINT_TEXT_BYTES];

    if (endpoint_family(&address->local) == AF_UNSPEC) {
        (void)fputs(",\"local\":null", out);
    } else {
        (void)fputs(",\"local\":{\"address\":", out);
        serialize_quoted(out, probe_host_text(&address->local, text));
        (void)fprintf(out, ",\"port\":%u}", endpoint_port(&address->local));
    }
    put_known(out, "interface", address->interface);
}

static void put_tcp(FILE *out, const struct tcp_facts *tcp)
{
    put_key(out, "tcp");
    if (!tcp->known) {
        (void)fputs("null", out);
        return;
    }
    if (tcp->mss_bytes > 0)
        (void)fprintf(out, "{\"mss_bytes\":%" PRIu32, tcp->mss_bytes);
    else
        (void)fputs("{\"mss_bytes\":null", out);
    put_seconds(out, "rtt_seconds", tcp->rtt_us > 0 ? tcp->rtt_us * INT64_C(1000) : -1);
    (void)fprintf(out, ",\"retransmits\":%" PRIu32 ",\"syn_retransmits\":%" PRIu32 "}", tcp->retransmits,
                  tcp->syn_retransmits);
}

static void put_tls(FILE *out, const struct probe_address *address)
{
    const struct stream_tls_facts *tls = &address->tls;

    put_key(out, "tls");
    if (tls->version[0] == '\0') {
        (void)fputs("null", out);
        return;
    }
    (void)fputs("{\"version\":", out);
    serialize_quoted(out, tls->version);
    put_text(out, "cipher", tls->cipher);
    put_known(out, "group", tls->group);
    put_known(out, "alpn", tls->alpn);
    put_text(out, "resumption", probe_resumption_word(address->resumption));
    (void)fputc('}', out);
}

static void put_chain(FILE *out, const struct stream_tls_facts *tls)
{
    size_t reported = tls->chain_count < STREAM_TLS_CHAIN_MAX ? tls->chain_count : STREAM_TLS_CHAIN_MAX;

    (void)fprintf(out, ",\"chain_length\":%zu,\"chain\":[", tls->chain_count);
    for (size_t i = 0; i < reported; i++) {
        (void)fputs(i > 0 ? "," : "", out);
        serialize_quoted(out, tls->chain[i]);
    }
    (void)fputc(']', out);
}

static void put_pin(FILE *out, const char *pin)
{
    char text[sizeof("sha256:") + sizeof(((struct stream_tls_facts *)NULL)->pin)] = "";

    if (pin[0] != '\0')
        (void)snprintf(text, sizeof(text), "sha256:%s", pin);
    put_known(out, "pin", text);
}

static void put_certificate(FILE *out, const struct probe_result *result, const struct probe_address *address)
{
    const struct stream_tls_facts *tls = &address->tls;

    put_key(out, "certificate");
    if (!probe_has_certificate(address)) {
        (void)fputs("null", out);
        return;
    }
    (void)fputs("{\"names\":", out);
    serialize_quoted(out, tls->nameless ? "" : tls->subject);
    put_known(out, "issuer", tls->issuer);
    put_chain(out, tls);
    put_time(out, "not_before", tls->not_before);
    put_time(out, "not_after", tls->not_after);
    put_known(out, "expires_first", tls->expires_first);
    put_time(out, "expires_first_at", probe_expires(address));
    (void)fprintf(out, ",\"days_left\":%" PRId64, probe_days_left(result, address));
    put_known(out, "ocsp", tls->ocsp);
    put_known(out, "key", tls->key);
    put_pin(out, tls->pin);
    put_bool(out, "trusted", tls->trusted);
    put_known(out, "distrust", tls->distrust);
    (void)fputc('}', out);
}

static void put_volume(FILE *out, const struct probe_address *address)
{
    const struct probe_volume *volume = &address->volume;

    put_key(out, "volume");
    if (address->spans[PROBE_VOLUME].begin_ns < 0)
        (void)fputs("null", out);
    else
        (void)fprintf(out,
                      "{\"names\":%" PRIu64 ",\"sent_bytes\":%" PRIu64 ",\"received_bytes\":%" PRIu64 "}",
                      volume->names, volume->sent_bytes, volume->received_bytes);
}

static void put_address(FILE *out, const struct probe_result *result, const struct probe_address *address)
{
    char text[ENDPOINT_TEXT_BYTES];
    bool ok = address->err.reason == ERR_OK;

    (void)fputs("{\"address\":", out);
    serialize_quoted(out, probe_host_text(&address->peer, text));
    put_text(out, "family", probe_family_word(probe_family(address)));
    put_bool(out, "ok", ok);
    put_bool(out, "counts", probe_result_counts(result, address));
    put_err(out, &address->err);
    put_known(out, "verified", probe_verified_word(probe_address_verified(result, address)));
    put_peer(out, address);
    put_known(out, "failed_phase", ok ? "" : probe_phase_name(address->last));
    put_phases(out, address);
    put_local(out, address);
    put_tcp(out, &address->tcp);
    put_tls(out, address);
    put_certificate(out, result, address);
    put_volume(out, address);
    (void)fputc('}', out);
}

static void put_race(FILE *out, const struct probe_result *result)
{
    char text[ENDPOINT_TEXT_BYTES];

    (void)fputs(",\"race\":[", out);
    for (size_t i = 0; i < result->attempt_count; i++) {
        const struct probe_attempt *attempt = &result->attempts[i];
        (void)fprintf(out, "%s{\"address\":", i > 0 ? "," : "");
        serialize_quoted(out, probe_host_text(&result->addresses[attempt->address].peer, text));
        put_seconds(out, "start_seconds", attempt->start_ns);
        put_seconds(out, "end_seconds", attempt->end_ns);
        put_bool(out, "won", attempt->won);
        (void)fputc('}', out);
    }
    (void)fputc(']', out);
}

void probe_put_findings(FILE *out, const char *key, const struct probe_finding *findings, size_t count)
{
    put_key(out, key);
    (void)fputc('[', out);
    for (size_t i = 0; i < count; i++) {
        (void)fputs(i > 0 ? ",{\"word\":" : "{\"word\":", out);
        serialize_quoted(out, findings[i].word);
        put_text(out, "text", findings[i].text);
        (void)fputc('}', out);
    }
    (void)fputc(']', out);
}

static void put_findings(FILE *out, const struct probe_result *result)
{
    struct probe_finding findings[PROBE_FINDINGS_MAX], remarks[PROBE_REMARKS_MAX];

    probe_put_findings(out, "findings", findings, probe_diagnose(result, findings));
    probe_put_findings(out, "remarks", remarks, probe_remarks(result, remarks));
}

void probe_report_json(const struct probe_result *result, FILE *out)
{
    put_head(out, result);
    put_answers(out, result);
    (void)fputs(",\"addresses\":[", out);
    for (size_t i = 0; i < result->address_count; i++) {
        (void)fputs(i > 0 ? "," : "", out);
        put_address(out, result, &result->addresses[i]);
    }
    (void)fputc(']', out);
    put_race(out, result);
    put_findings(out, result);
    (void)fputs("}\n", out);
}
