#include "result.h"

#include <inttypes.h>

#include "format.h"
#include "tcpgreet/format/serialize.h"

static void put_failures(FILE *out, const struct bench_result *result)
{
    const char *between = "";

    (void)fputs(",\"failures\":{", out);
    for (size_t i = 0; i < ERR_REASON_COUNT; i++) {
        if (result->failures[i] == 0)
            continue;
        (void)fprintf(out, "%s\"%s\":%" PRIu64, between, err_word((enum err_reason)i), result->failures[i]);
        between = ",";
    }
    (void)fputc('}', out);
}

static void put_slots(FILE *out, const struct bench_result *result)
{
    size_t used = BENCH_SLOTS;

    while (used > 0 && result->slots[used - 1] == 0)
        used--;
    (void)fprintf(out, ",\"slot_seconds\":%s,\"slots\":[", serialize_number(result->slot_s).text);
    for (size_t i = 0; i < used; i++)
        (void)fprintf(out, "%s%" PRIu64, i > 0 ? "," : "", result->slots[i]);
    (void)fputc(']', out);
}

/* The quantiles are for a person or for jq; --bench-merge reads the buckets. */
static void put_quantiles(FILE *out, const struct histogram *histogram)
{
    static const struct {
        const char *name;
        double share;
    } quantiles[] = {{"p50", 0.5}, {"p90", 0.9}, {"p99", 0.99}, {"p99.9", 0.999}};
    bool any = histogram->total > 0;

    (void)fprintf(out, ",\"min\":%s", any ? serialize_seconds(histogram->least_ns).text : "null");
    (void)fprintf(out, ",\"mean\":%s",
                  any ? serialize_number(histogram_mean_ns(histogram) / NS_PER_S).text : "null");
    for (size_t i = 0; i < sizeof(quantiles) / sizeof(quantiles[0]); i++)
        (void)fprintf(out, ",\"%s\":%s", quantiles[i].name,
                      any ? serialize_seconds(histogram_quantile_ns(histogram, quantiles[i].share)).text
                          : "null");
    (void)fprintf(out, ",\"max\":%s", any ? serialize_seconds(histogram->most_ns).text : "null");
}

static void put_histogram(FILE *out, const char *name, const struct histogram *histogram)
{
    const char *between = "";

    (void)fprintf(out, ",\"%s\":{\"count\":%" PRIu64, name, histogram->total);
    put_quantiles(out, histogram);
    (void)fputs(",\"buckets\":[", out);
    for (size_t i = 0; i < HISTOGRAM_BUCKETS; i++) {
        if (histogram->counts[i] == 0)
            continue;
        (void)fprintf(out, "%s[%zu,%" PRIu64 "]", between, i, histogram->counts[i]);
        between = ",";
    }
    (void)fputs("]}", out);
}

void bench_result_json(const struct bench_result *result, FILE *out)
{
    (void)fprintf(out, "{\"schema\":\"" BENCH_SCHEMA "\",\"target\":");
    serialize_quoted(out, result->target);
    (void)fputs(",\"proxy\":", out);
    if (result->proxy[0] != '\0')
        serialize_quoted(out, result->proxy);
    else
        (void)fputs("null", out);
    (void)fprintf(out, ",\"tls\":%s,\"open_loop\":%s", result->tls ? "true" : "false",
                  result->open_loop ? "true" : "false");
    (void)fprintf(out, ",\"rate_asked\":%s", serialize_number(result->rate_asked).text);
    (void)fprintf(out, ",\"connections_asked\":%" PRIu64, result->connections_asked);
    (void)fprintf(out, ",\"duration_seconds\":%s", serialize_number(result->duration_s).text);
    (void)fprintf(out, ",\"runs\":%u,\"names\":%" PRIu64, result->runs, result->names);
    (void)fprintf(out, ",\"names_per_second\":%s", serialize_number(bench_rate(result, result->names)).text);
    (void)fprintf(out, ",\"connections\":%" PRIu64 ",\"resumed\":%" PRIu64 ",\"late\":%" PRIu64,
                  result->connections, result->resumed, result->late);
    put_failures(out, result);
    put_slots(out, result);
    put_histogram(out, "answers", &result->answers);
    put_histogram(out, "connects", &result->connects);
    (void)fputs("}\n", out);
}
