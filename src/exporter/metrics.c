#include "metrics.h"

#include <uv.h>

#define NAME "tcpgreet_exporter_"

static const char *const refusal_words[METRICS_REFUSALS] = {
    [METRICS_BAD_REQUEST] = "bad-request", [METRICS_FORBIDDEN] = "forbidden", [METRICS_BUSY] = "busy"};

void metrics_count(struct metrics *metrics, const struct probe_brief *brief)
{
    double seconds = (double)brief->total_ns / 1e9;

    metrics->durations.buckets[exposition_bucket(seconds)]++;
    metrics->durations.sum_s += seconds;
    if ((size_t)brief->reason < METRICS_REASONS)
        metrics->probes[brief->reason]++;
}

static void put_counts(const struct metrics *metrics, FILE *out)
{
    exposition_head(out, NAME "probes_total", "counter", "Probes that ended, by the reason of the verdict.");
    for (size_t i = 0; i < METRICS_REASONS; i++)
        if (metrics->probes[i] > 0 || i == ERR_OK)
            exposition_put(out,
                           &(struct exposition_sample){NAME "probes_total", "reason",
                                                       err_word((enum err_reason)i), metrics->probes[i]});
    exposition_head(out, NAME "requests_refused_total", "counter",
                    "Requests that were answered without a probe.");
    for (size_t i = 0; i < METRICS_REFUSALS; i++)
        exposition_put(out, &(struct exposition_sample){NAME "requests_refused_total", "cause",
                                                        refusal_words[i], metrics->refusals[i]});
}

void metrics_put(const struct metrics *metrics, size_t in_flight, size_t limit, FILE *out)
{
    exposition_build_info(out, uv_version_string());
    put_counts(metrics, out);
    exposition_one(out, NAME "probes_in_flight", "gauge", "Probes that are under way.", (double)in_flight);
    exposition_one(out, NAME "probes_in_flight_limit", "gauge",
                   "How many may be; a further one is answered 503.", (double)limit);
    struct exposition_histogram durations = metrics->durations;
    durations.name = NAME "probe_duration_seconds";
    durations.help = "How long the probes took.";
    exposition_put_histogram(out, &durations);
    const struct process_usage usage = process_meter_read(&metrics->meter);
    exposition_process(out, &usage);
}

void metrics_put_probe(const struct probe_brief *brief, FILE *out)
{
    exposition_one(out, "probe_success", "gauge", "Whether the probe succeeded.", brief->reason == ERR_OK);
    exposition_one(out, "probe_duration_seconds", "gauge", "How long the probe took.",
                   (double)brief->total_ns / 1e9);
}
