#include "summary.h"

#include <inttypes.h>

#include "measures.h"
#include "tcpgreet/format/serialize.h"

#define PROBE_SUMMARY_SCHEMA "tcpgreet.probe-summary.v1"

static void put_times(FILE *out, const char *name, const struct histogram *histogram)
{
    (void)fprintf(out, ",\"%s\":", name);
    if (histogram->total == 0) {
        (void)fputs("null", out);
        return;
    }
    (void)fprintf(out, "{\"count\":%" PRIu64 ",\"min\":%s,\"median\":%s,\"p99\":%s,\"max\":%s}",
                  histogram->total, serialize_seconds(histogram->least_ns).text,
                  serialize_seconds(histogram_quantile_ns(histogram, 0.5)).text,
                  serialize_seconds(histogram_quantile_ns(histogram, 0.99)).text,
                  serialize_seconds(histogram->most_ns).text);
}

static void put_reasons(FILE *out, const struct probe_summary_row *row)
{
    const char *between = "";

    (void)fputs(",\"reasons\":{", out);
    for (size_t i = 0; i < ERR_REASON_COUNT; i++) {
        if (row->reasons[i] == 0)
            continue;
        (void)fprintf(out, "%s\"%s\":%" PRIu64, between, err_word((enum err_reason)i), row->reasons[i]);
        between = ",";
    }
    (void)fputc('}', out);
}

static void put_row(FILE *out, const struct probe_summary_row *row)
{
    char host[ENDPOINT_TEXT_BYTES];
    enum race_family family = endpoint_family(&row->peer) == AF_INET6 ? RACE_V6 : RACE_V4;

    (void)fputs("{\"address\":", out);
    serialize_quoted(out, probe_host_text(&row->peer, host));
    (void)fprintf(out, ",\"family\":\"%s\",\"rounds\":%" PRIu64 ",\"failed\":%" PRIu64,
                  probe_family_word(family), row->rounds, probe_summary_failed(row));
    put_reasons(out, row);
    put_times(out, "total_seconds", &row->total);
    put_times(out, "connect_seconds", &row->connect);
    (void)fputc('}', out);
}

void probe_summary_json(const struct probe_summary *summary, FILE *out)
{
    (void)fputs("{\"schema\":\"" PROBE_SUMMARY_SCHEMA "\",\"target\":", out);
    serialize_quoted(out, summary->target);
    (void)fprintf(out,
                  ",\"rounds\":%" PRIu64 ",\"ok\":%" PRIu64 ",\"without_address\":%" PRIu64
                  ",\"uncounted\":%" PRIu64 ",\"worst\":{\"word\":\"%s\",\"exit_code\":%d,\"text\":",
                  summary->rounds, summary->ok, summary->nameless, summary->uncounted,
                  err_word(summary->worst.reason), err_exit_code(summary->worst.reason));
    if (summary->worst.reason == ERR_OK)
        (void)fputs("null", out);
    else
        serialize_quoted(out, summary->worst.text);
    (void)fputs("},\"addresses\":[", out);
    for (size_t i = 0; i < summary->row_count; i++) {
        (void)fputs(i > 0 ? "," : "", out);
        put_row(out, summary->rows[i]);
    }
    (void)fputc(']', out);
    probe_put_findings(out, "remarks", summary->remarks, summary->remark_count);
    (void)fputs("}\n", out);
}
