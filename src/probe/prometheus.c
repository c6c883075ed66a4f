#include "exposition.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "measures.h"

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
    struct probe_exposition *to;
    const struct probe_result *result;
    const char *name;
    const char *help;
    FILE *out; /* NULL: it has no sample of this result yet */
};

static FILE *put_name(FILE *out, const struct metric *metric)
{
    (void)fputs("# HELP tcpgreet_probe_", out);
    (void)fputs(metric->name, out);
    (void)fputc(' ', out);
    (void)fputs(metric->help, out);
    (void)fputs("\n# TYPE tcpgreet_probe_", out);
    (void)fputs(metric->name, out);
    (void)fputs(" gauge\n", out);
    return out;
}

/* Returns: where the samples of a metric stand together, behind its head. */
static FILE *find_part(const struct metric *metric)
{
    struct probe_exposition *to = metric->to;
    size_t i = 0;

    if (to->whole != NULL)
        return put_name(to->whole, metric);
    while (i < to->count && to->parts[i].name != metric->name)
        i++;
    if (i < to->count)
        return to->parts[i].out;
    struct probe_part *part = i < PROBE_METRICS_MAX ? &to->parts[i] : NULL;
    if (part != NULL)
        part->out = open_memstream(&part->text, &part->length);
    if (part == NULL || part->out == NULL) {
        to->is_lost = true;
        return to->lost;
    }
    part->name = metric->name;
    to->count++;
    return put_name(part->out, metric);
}

/* fprintf costs several times what fputs does, and a result has more than a hundred texts. */
static void put_label(const struct metric *metric, const char *label, const char *value)
{
    (void)fputc(',', metric->out);
    (void)fputs(label, metric->out);
    (void)fputc('=', metric->out);
    serialize_quoted(metric->out, value);
}

/* Opens the labels of a sample; every sample has its target. */
static void begin(struct metric *metric)
{
    if (metric->out == NULL)
        metric->out = find_part(metric);
    (void)fputs("tcpgreet_probe_", metric->out);
    (void)fputs(metric->name, metric->out);
    (void)fputs("{target=", metric->out);
    serialize_quoted(metric->out, metric->result->target);
    if (metric->to->line > 0)
        (void)fprintf(metric->out, ",line=\"%zu\"", metric->to->line);
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
    (void)fputs("} ", metric->out);
    (void)fputs(serialize_number(value).text, metric->out);
    (void)fputc('\n', metric->out);
}

static void put_gauge(struct probe_exposition *to, const struct probe_result *result, const char *name,
                      const char *help, double value)
{
    struct metric metric = {to, result, name, help, NULL};
    begin(&metric);
    end(&metric, value);
}

static void put_address_metric(struct probe_exposition *to, const struct probe_result *result,
                               const struct address_metric *reported)
{
    struct metric metric = {to, result, reported->name, reported->help, NULL};
    double value;

    for (size_t i = 0; i < result->address_count; i++) {
        if (!reported->value(&result->addresses[i], &value))
            continue;
        begin_address(&metric, &result->addresses[i]);
        end(&metric, value);
    }
}

static void put_verdict(struct probe_exposition *to, const struct probe_result *result)
{
    struct metric metric = {
        to, result, "verdict_info",
        "What was requested, the last phase that is proved, and the reason word of the verdict.", NULL};
    begin(&metric);
    put_label(&metric, "tls", result->tls ? "yes" : "no");
    put_label(&metric, "until", probe_until_word(result->until));
    put_label(&metric, "verified", probe_verified_word(probe_result_verified(result)));
    put_label(&metric, "require", result->require_any ? "any" : "all");
    put_label(&metric, "reason", err_word(result->verdict.reason));
    end(&metric, 1);
}

static void put_round(struct probe_exposition *to, const struct probe_result *result)
{
    put_gauge(to, result, "success", "Whether the verdict is OK.", result->verdict.reason == ERR_OK);
    put_verdict(to, result);
    put_gauge(to, result, "exit_code", "The exit code that goes with the verdict.",
              err_exit_code(result->verdict.reason));
    put_gauge(to, result, "timestamp_seconds", "When the probe began.", (double)result->started_s);
    put_gauge(to, result, "duration_seconds", "How long the probe took.",
              (double)result->total_ns / NS_PER_S);
}

static void put_dns(struct probe_exposition *to, const struct probe_result *result)
{
    struct metric seconds = {to, result, "dns_lookup_seconds",
                             "How long the name service took for the addresses of a family.", NULL};
    struct metric addresses = {to, result, "dns_addresses",
                               "How many addresses of a family the name service returned.", NULL};
    struct metric reason = {
        to, result, "dns_reason_info",
        "Whether the name service returned addresses of a family (ok), or the reason why not.", NULL};

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

static void put_reasons(struct probe_exposition *to, const struct probe_result *result)
{
    struct metric metric = {
        to, result, "reason_info",
        "The result of each address: ok, or the reason and the phase in which it failed; the last phase that is proved, and the service that answered.",
        NULL};

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

static void put_phases(struct probe_exposition *to, const struct probe_result *result)
{
    struct metric metric = {to, result, "phase_seconds",
                            "How long each phase took, the one that failed included.", NULL};

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
static void put_success(struct probe_exposition *to, const struct probe_result *result)
{
    struct metric metric = {to, result, "address_success",
                            "Whether every phase that was requested succeeded.", NULL};

    for (size_t i = 0; i < result->address_count; i++) {
        if (!probe_result_counts(result, &result->addresses[i]))
            continue;
        begin_address(&metric, &result->addresses[i]);
        end(&metric, result->addresses[i].err.reason == ERR_OK);
    }
}

static void put_tls(struct probe_exposition *to, const struct probe_result *result)
{
    struct metric metric = {to, result, "tls_info",
                            "What the handshake agreed on, and whether a second one resumed it.", NULL};

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

static void put_certificates(struct probe_exposition *to, const struct probe_result *result)
{
    struct metric metric = {to, result, "certificate_info",
                            "The certificate that the server sent, also where it was refused.", NULL};

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

static void put_race(struct probe_exposition *to, const struct probe_result *result)
{
    struct metric metric = {to, result, "race_won",
                            "Whether a client that races the addresses would use this one.", NULL};

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

static void put_findings(struct probe_exposition *to, const struct probe_result *result)
{
    struct metric metric = {to, result, "finding_info", "What the diagnosis found.", NULL};
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

static void put_remarks(struct probe_exposition *to, const struct probe_result *result)
{
    struct metric metric = {to, result, "remark_info",
                            "Remarks, which are not findings, such as a family that this machine lacks.",
                            NULL};
    struct probe_finding remarks[PROBE_REMARKS_MAX];
    size_t count = probe_remarks(result, remarks);

    for (size_t i = 0; i < count; i++) {
        begin(&metric);
        put_label(&metric, "remark", remarks[i].word);
        end(&metric, 1);
    }
}

static void put_all(struct probe_exposition *to, const struct probe_result *result)
{
    put_round(to, result);
    put_dns(to, result);
    put_reasons(to, result);
    put_phases(to, result);
    put_success(to, result);
    for (size_t i = 0; i < sizeof(address_metrics) / sizeof(address_metrics[0]); i++)
        put_address_metric(to, result, &address_metrics[i]);
    put_tls(to, result);
    put_certificates(to, result);
    put_race(to, result);
    put_findings(to, result);
    put_remarks(to, result);
}

void probe_report_prometheus(const struct probe_result *result, FILE *out)
{
    struct probe_exposition to = {.whole = out};

    put_all(&to, result);
}

int probe_exposition_open(struct probe_exposition *exposition, struct err *err)
{
    *exposition = (struct probe_exposition){0};
    exposition->lost = fopen("/dev/null", "w");
    if (exposition->lost != NULL)
        return 0;
    return err_set(err, err_reason_of_system(errno), errno, "cannot open /dev/null: %s", strerror(errno));
}

void probe_exposition_add(struct probe_exposition *exposition, const struct probe_result *result, size_t line)
{
    exposition->line = line;
    put_all(exposition, result);
}

int probe_exposition_close(struct probe_exposition *exposition, FILE *out, struct err *err)
{
    bool is_whole = !exposition->is_lost;

    for (size_t i = 0; i < exposition->count; i++) {
        struct probe_part *part = &exposition->parts[i];
        is_whole = ferror(part->out) == 0 && is_whole;
        is_whole = fclose(part->out) == 0 && is_whole;
        if (out != NULL && is_whole)
            (void)fwrite(part->text, 1, part->length, out);
        free(part->text);
    }
    if (exposition->lost != NULL)
        (void)fclose(exposition->lost);
    *exposition = (struct probe_exposition){0};
    return is_whole ? 0 : err_set(err, ERR_INTERNAL, ENOMEM, "not enough memory for the metrics");
}
