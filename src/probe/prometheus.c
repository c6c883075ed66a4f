#include "measures.h"

#include <string.h>

#include "tcpgreet/format/serialize.h"

#define NS_PER_S 1e9

/* The definition of a metric; value belongs to one address and returns whether there is one. */
struct address_metric {
    const char *name;
    const char *help;
    bool (*value)(const struct probe_address *address, double *value);
};

static bool tcp_rtt(const struct probe_address *address, double *value)
{
    *value = address->tcp.rtt_us / 1e6;
    return address->tcp.known && address->tcp.rtt_us > 0;
}

static bool tcp_mss(const struct probe_address *address, double *value)
{
    *value = address->tcp.mss_bytes;
    return address->tcp.known && address->tcp.mss_bytes > 0;
}

static bool tcp_retransmits(const struct probe_address *address, double *value)
{
    *value = address->tcp.retransmits;
    return address->tcp.known;
}

static bool tcp_syn_retransmits(const struct probe_address *address, double *value)
{
    *value = address->tcp.syn_retransmits;
    return address->tcp.known;
}

static bool certificate_not_before(const struct probe_address *address, double *value)
{
    *value = (double)address->tls.not_before;
    return probe_has_certificate(address);
}

static bool certificate_not_after(const struct probe_address *address, double *value)
{
    *value = (double)probe_expires(address);
    return probe_has_certificate(address);
}

static bool certificate_trusted(const struct probe_address *address, double *value)
{
    *value = address->tls.trusted;
    return probe_has_certificate(address);
}

static bool volume_sent(const struct probe_address *address, double *value)
{
    *value = (double)address->volume.sent_bytes;
    return address->spans[PROBE_VOLUME].begin_ns >= 0;
}

static bool volume_received(const struct probe_address *address, double *value)
{
    *value = (double)address->volume.received_bytes;
    return address->spans[PROBE_VOLUME].begin_ns >= 0;
}

static const struct address_metric address_metrics[] = {
    {"tcp_rtt_seconds", "The kernel's smoothed round trip time.", tcp_rtt},
    {"tcp_mss_bytes", "Maximum segment size of what was sent.", tcp_mss},
    {"tcp_retransmits", "Retransmitted segments, SYN included.", tcp_retransmits},
    {"tcp_syn_retransmits", "Retransmitted SYN segments.", tcp_syn_retransmits},
    {"certificate_not_before_timestamp_seconds",
     "When the peer's certificate begins to be valid, also where it was refused.", certificate_not_before},
    {"certificate_not_after_timestamp_seconds",
     "When the first certificate of the verified chain expires or has expired: the peer's own or a CA's above it.",
     certificate_not_after},
    {"certificate_trusted",
     "Whether the verification of chain, name, dates and purpose of the certificate succeeded.",
     certificate_trusted},
    {"volume_sent_bytes", "Sent for --volume.", volume_sent},
    {"volume_received_bytes", "Received and verified for --volume.", volume_received},
};

/* A metric being written: its head comes with its first sample, so that none stands without any. */
struct metric {
    FILE *out;
    const struct probe_result *result;
    const char *name;
    const char *help;
    bool begun;
};

static void put_label(const struct metric *metric, const char *label, const char *value)
{
    (void)fprintf(metric->out, ",%s=", label);
    serialize_quoted(metric->out, value);
}

/* Opens the labels of a sample; every sample has its target. */
static void begin(struct metric *metric)
{
    if (!metric->begun)
        (void)fprintf(metric->out, "# HELP tcpgreet_probe_%s %s\n# TYPE tcpgreet_probe_%s gauge\n",
                      metric->name, metric->help, metric->name);
    metric->begun = true;
    (void)fprintf(metric->out, "tcpgreet_probe_%s{target=", metric->name);
    serialize_quoted(metric->out, metric->result->target);
}

static void begin_family(struct metric *metric, enum race_family family)
{
    begin(metric);
    put_label(metric, "family", probe_family_word(family));
}

static void begin_address(struct metric *metric, const struct probe_address *address)
{
    char text[ENDPOINT_TEXT_BYTES];
    begin(metric);
    put_label(metric, "address", probe_host_text(&address->peer, text));
    put_label(metric, "family", probe_family_word(probe_family(address)));
}

static void end(const struct metric *metric, double value)
{
    (void)fprintf(metric->out, "} %s\n", serialize_number(value).text);
}

static void put_gauge(FILE *out, const struct probe_result *result, const char *name, const char *help,
                      double value)
{
    struct metric metric = {out, result, name, help, false};
    begin(&metric);
    end(&metric, value);
}

static void put_address_metric(FILE *out, const struct probe_result *result,
                               const struct address_metric *reported)
{
    struct metric metric = {out, result, reported->name, reported->help, false};
    double value;

    for (size_t i = 0; i < result->address_count; i++) {
        if (!reported->value(&result->addresses[i], &value))
            continue;
        begin_address(&metric, &result->addresses[i]);
        end(&metric, value);
    }
}

static void put_verdict(FILE *out, const struct probe_result *result)
{
    struct metric metric = {
        out, result, "verdict_info",
        "What was requested, the last phase that is proved, and the reason word of the verdict.", false};
    begin(&metric);
    put_label(&metric, "tls", result->tls ? "yes" : "no");
    put_label(&metric, "until", probe_until_word(result->until));
    put_label(&metric, "verified", probe_verified_word(probe_result_verified(result)));
    put_label(&metric, "require", result->require_any ? "any" : "all");
    put_label(&metric, "reason", err_word(result->verdict.reason));
    end(&metric, 1);
}

static void put_round(FILE *out, const struct probe_result *result)
{
    put_gauge(out, result, "success", "Whether the verdict is OK.", result->verdict.reason == ERR_OK);
    put_verdict(out, result);
    put_gauge(out, result, "exit_code", "The exit code that goes with the verdict.",
              err_exit_code(result->verdict.reason));
    put_gauge(out, result, "timestamp_seconds", "When the probe began.", (double)result->started_s);
    put_gauge(out, result, "duration_seconds", "How long the probe took.",
              (double)result->total_ns / NS_PER_S);
}

static void put_dns(FILE *out, const struct probe_result *result)
{
    struct metric seconds = {out, result, "dns_lookup_seconds",
                             "How long the name service took for the addresses of a family.", false};
    struct metric addresses = {out, result, "dns_addresses",
                               "How many addresses of a family the name service returned.", false};
    struct metric reason = {
        out, result, "dns_reason_info",
        "Whether the name service returned addresses of a family (ok), or the reason why not.", false};

    for (int i = 0; i < RACE_FAMILIES; i++) {
        int64_t ns = probe_span_ns(&result->answers[i].span);
        if (!result->answers[i].asked || ns < 0)
            continue;
        begin_family(&seconds, (enum race_family)i);
        end(&seconds, (double)ns / NS_PER_S);
    }
    for (int i = 0; i < RACE_FAMILIES; i++) {
        if (!result->answers[i].asked)
            continue;
        begin_family(&addresses, (enum race_family)i);
        end(&addresses, (double)result->answers[i].count);
    }
    for (int i = 0; i < RACE_FAMILIES; i++) {
        if (!result->answers[i].asked)
            continue;
        begin_family(&reason, (enum race_family)i);
        put_label(&reason, "reason", err_word(result->answers[i].err.reason));
        end(&reason, 1);
    }
}

static void put_reasons(FILE *out, const struct probe_result *result)
{
    struct metric metric = {
        out, result, "reason_info",
        "The result of each address: ok, or the reason and the phase in which it failed; the last phase that is proved, and the service that answered.",
        false};

    for (size_t i = 0; i < result->address_count; i++) {
        const struct probe_address *address = &result->addresses[i];
        begin_address(&metric, address);
        put_label(&metric, "reason", err_word(address->err.reason));
        put_label(&metric, "failed_phase",
                  address->err.reason == ERR_OK ? "" : probe_phase_name(address->last));
        put_label(&metric, "verified", probe_verified_word(probe_address_verified(result, address)));
        put_label(&metric, "service", probe_service_word(address));
        end(&metric, 1);
    }
}

static void put_phases(FILE *out, const struct probe_result *result)
{
    struct metric metric = {out, result, "phase_seconds",
                            "How long each phase took, the one that failed included.", false};

    for (size_t i = 0; i < result->address_count; i++) {
        for (int phase = 0; phase < PROBE_PHASES; phase++) {
            int64_t ns = probe_span_ns(&result->addresses[i].spans[phase]);
            if (ns < 0)
                continue;
            begin_address(&metric, &result->addresses[i]);
            put_label(&metric, "phase", probe_phase_name((enum probe_phase)phase));
            end(&metric, (double)ns / NS_PER_S);
        }
    }
}

/* An address that this machine cannot reach at all has neither failed nor succeeded. */
static void put_success(FILE *out, const struct probe_result *result)
{
    struct metric metric = {out, result, "address_success",
                            "Whether every phase that was requested succeeded.", false};

    for (size_t i = 0; i < result->address_count; i++) {
        if (!probe_result_counts(result, &result->addresses[i]))
            continue;
        begin_address(&metric, &result->addresses[i]);
        end(&metric, result->addresses[i].err.reason == ERR_OK);
    }
}

static void put_tls(FILE *out, const struct probe_result *result)
{
    struct metric metric = {out, result, "tls_info",
                            "What the handshake agreed on, and whether a second one resumed it.", false};

    for (size_t i = 0; i < result->address_count; i++) {
        const struct probe_address *address = &result->addresses[i];
        if (address->tls.version[0] == '\0')
            continue;
        begin_address(&metric, address);
        put_label(&metric, "version", address->tls.version);
        put_label(&metric, "cipher", address->tls.cipher);
        put_label(&metric, "group", address->tls.group);
        put_label(&metric, "alpn", address->tls.alpn);
        put_label(&metric, "resumption", probe_resumption_word(address->resumption));
        end(&metric, 1);
    }
}

static void put_certificates(FILE *out, const struct probe_result *result)
{
    struct metric metric = {out, result, "certificate_info",
                            "The certificate that the server sent, also where it was refused.", false};

    for (size_t i = 0; i < result->address_count; i++) {
        const struct probe_address *address = &result->addresses[i];
        if (!probe_has_certificate(address))
            continue;
        begin_address(&metric, address);
        put_label(&metric, "names", address->tls.nameless ? "" : address->tls.subject);
        put_label(&metric, "issuer", address->tls.issuer);
        put_label(&metric, "key", address->tls.key);
        put_label(&metric, "pin", address->tls.pin);
        end(&metric, 1);
    }
}

static void put_race(FILE *out, const struct probe_result *result)
{
    struct metric metric = {out, result, "race_won",
                            "Whether a client that races the addresses would use this one.", false};

    for (size_t i = 0; i < result->attempt_count; i++) {
        begin_address(&metric, &result->addresses[result->attempts[i].address]);
        end(&metric, result->attempts[i].won);
    }
}

static bool is_reported(const struct probe_finding *findings, size_t i)
{
    for (size_t j = 0; j < i; j++)
        if (strcmp(findings[j].word, findings[i].word) == 0)
            return true;
    return false;
}

static void put_findings(FILE *out, const struct probe_result *result)
{
    struct metric metric = {out, result, "finding_info", "What the diagnosis found.", false};
    struct probe_finding findings[PROBE_FINDINGS_MAX];
    size_t count = probe_diagnose(result, findings);

    for (size_t i = 0; i < count; i++) {
        if (is_reported(findings, i))
            continue;
        begin(&metric);
        put_label(&metric, "finding", findings[i].word);
        end(&metric, 1);
    }
}

static void put_remarks(FILE *out, const struct probe_result *result)
{
    struct metric metric = {out, result, "remark_info",
                            "Remarks, which are not findings, such as a family that this machine lacks.",
                            false};
    struct probe_finding remarks[PROBE_REMARKS_MAX];
    size_t count = probe_remarks(result, remarks);

    for (size_t i = 0; i < count; i++) {
        begin(&metric);
        put_label(&metric, "remark", remarks[i].word);
        end(&metric, 1);
    }
}

void probe_report_prometheus(const struct probe_result *result, FILE *out)
{
    put_round(out, result);
    put_dns(out, result);
    put_reasons(out, result);
    put_phases(out, result);
    put_success(out, result);
    for (size_t i = 0; i < sizeof(address_metrics) / sizeof(address_metrics[0]); i++)
        put_address_metric(out, result, &address_metrics[i]);
    put_tls(out, result);
    put_certificates(out, result);
    put_race(out, result);
    put_findings(out, result);
    put_remarks(out, result);
}
