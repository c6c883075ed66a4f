#include "totals.h"

#include <string.h>

#include "tcpgreet/format/serialize.h"

#define PROBE_TARGETS_SCHEMA "tcpgreet.probe-targets.v1"

static void put_reasons(FILE *out, const struct probe_totals *totals)
{
    const char *between = "";

    (void)fputs(",\"reasons\":{", out);
    for (size_t i = 0; i < ERR_REASON_COUNT; i++) {
        if (totals->reasons[i] == 0)
            continue;
        (void)fprintf(out, "%s\"%s\":%zu", between, err_word((enum err_reason)i), totals->reasons[i]);
        between = ",";
    }
    (void)fputc('}', out);
}

static void put_total(FILE *out, const struct probe_totals *totals)
{
    const struct histogram *total = &totals->total;

    (void)fputs(",\"total_seconds\":", out);
    if (total->total == 0) {
        (void)fputs("null,\"slowest\":null", out);
        return;
    }
    (void)fprintf(out, "{\"count\":%llu,\"min\":%s,\"median\":%s,\"p99\":%s,\"max\":%s},\"slowest\":",
                  (unsigned long long)total->total, serialize_seconds(total->least_ns).text,
                  serialize_seconds(histogram_quantile_ns(total, 0.5)).text,
                  serialize_seconds(histogram_quantile_ns(total, 0.99)).text,
                  serialize_seconds(total->most_ns).text);
    serialize_quoted(out, totals->slowest);
}

void probe_totals_json(const struct probe_totals *totals, FILE *out)
{
    (void)fprintf(out,
                  "{\"schema\":\"" PROBE_TARGETS_SCHEMA
                  "\",\"targets\":%zu,\"finished\":%zu,\"ok\":%zu,\"duration_seconds\":%s",
                  totals->targets, totals->done, totals->reasons[ERR_OK],
                  serialize_seconds(totals->elapsed_ns).text);
    put_reasons(out, totals);
    put_total(out, totals);
    (void)fputs(",\"first_failure\":", out);
    if (totals->first_failed == 0) {
        (void)fputs("null}\n", out);
        return;
    }
    (void)fprintf(out, "{\"word\":\"%s\",\"exit_code\":%d,\"text\":", err_word(totals->first.reason),
                  err_exit_code(totals->first.reason));
    serialize_quoted(out, totals->first.text);
    (void)fputs("}}\n", out);
}

/* Source: the guidelines' "Performance data": 'label'=value[UOM];[warn];[crit];[min];[max]. */
int probe_totals_nagios(const struct probe_totals *totals, int code, FILE *out)
{
    const struct histogram *total = &totals->total;
    struct text_line sentence = {0};
    bool is_cut = totals->done < totals->targets;

    if (is_cut && code < PROBE_PLUGIN_CRITICAL)
        code = PROBE_PLUGIN_UNKNOWN;
    probe_totals_sentence(totals, &sentence);
    (void)fprintf(out, "TCPGREET %s - %s", probe_plugin_word(code), sentence.text);
    (void)fprintf(out, " |'ok'=%zu;;;0;%zu 'failed'=%zu;;;0;%zu", totals->reasons[ERR_OK], totals->targets,
                  probe_totals_failed(totals), totals->targets);
    if (total->total > 0)
        (void)fprintf(out, " 'median'=%ss;;;0; 'p99'=%ss;;;0; 'slowest'=%ss;;;0;",
                      serialize_seconds(histogram_quantile_ns(total, 0.5)).text,
                      serialize_seconds(histogram_quantile_ns(total, 0.99)).text,
                      serialize_seconds(totals->slowest_ns).text);
    (void)fputc('\n', out);
    return code;
}
