#include "metrics.h"

#include <dirent.h>
#include <sys/resource.h>
#include <uv.h>

#include "tcpgreet/format/serialize.h"

#define NAME "tcpgreet_exporter_"

/* As Prometheus's own defaults, with two more for a loopback connection and two for time limits. */
static const double bounds[METRICS_BUCKETS - 1] = {0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05,
                                                   0.1,    0.25,  0.5,    1,     2.5,  5,     10};

static const char *const refusal_words[METRICS_REFUSALS] = {
    [METRICS_BAD_REQUEST] = "bad-request", [METRICS_FORBIDDEN] = "forbidden", [METRICS_BUSY] = "busy"};

void metrics_count(struct metrics *metrics, const struct probe_brief *brief)
{
    double seconds = (double)brief->total_ns / 1e9;
    size_t i = 0;

    while (i < METRICS_BUCKETS - 1 && seconds > bounds[i])
        i++;
    metrics->buckets[i]++;
    metrics->duration_sum_s += seconds;
    if ((size_t)brief->reason < METRICS_REASONS)
        metrics->probes[brief->reason]++;
}

static void put_head(FILE *out, const char *name, const char *type, const char *help)
{
    (void)fprintf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static void put_one(FILE *out, const char *name, const char *type, const char *help, double value)
{
    put_head(out, name, type, help);
    (void)fprintf(out, "%s %s\n", name, serialize_number(value).text);
}

static void put_counts(const struct metrics *metrics, FILE *out)
{
    put_head(out, NAME "probes_total", "counter", "Probes that ended, by the reason of the verdict.");
    for (size_t i = 0; i < METRICS_REASONS; i++)
        if (metrics->probes[i] > 0 || i == ERR_OK)
            (void)fprintf(out, NAME "probes_total{reason=\"%s\"} %llu\n", err_word((enum err_reason)i),
                          (unsigned long long)metrics->probes[i]);
    put_head(out, NAME "requests_refused_total", "counter", "Requests that were answered without a probe.");
    for (size_t i = 0; i < METRICS_REFUSALS; i++)
        (void)fprintf(out, NAME "requests_refused_total{cause=\"%s\"} %llu\n", refusal_words[i],
                      (unsigned long long)metrics->refusals[i]);
}

static void put_durations(const struct metrics *metrics, FILE *out)
{
    uint64_t count = 0;

    put_head(out, NAME "probe_duration_seconds", "histogram", "How long the probes took.");
    for (size_t i = 0; i < METRICS_BUCKETS; i++) {
        count += metrics->buckets[i];
        (void)fprintf(out, NAME "probe_duration_seconds_bucket{le=\"%s\"} %llu\n",
                      i + 1 < METRICS_BUCKETS ? serialize_number(bounds[i]).text : "+Inf",
                      (unsigned long long)count);
    }
    (void)fprintf(out, NAME "probe_duration_seconds_sum %s\n" NAME "probe_duration_seconds_count %llu\n",
                  serialize_number(metrics->duration_sum_s).text, (unsigned long long)count);
}

static double seconds_of(uv_timeval_t time)
{
    return (double)time.tv_sec + (double)time.tv_usec / 1e6;
}

/* Returns: how many descriptors are open, 0 where the system does not list them. */
static double count_descriptors(void)
{
    double count = -3; /* ".", "..", and the one of the listing */
    DIR *folder = opendir("/proc/self/fd");

    if (folder == NULL)
        return 0;
    while (readdir(folder) != NULL)
        count++;
    closedir(folder);
    return count;
}

static void put_process(FILE *out)
{
    struct rlimit limit;
    uv_rusage_t usage;
    size_t resident;
    double descriptors = count_descriptors();

    if (uv_getrusage(&usage) == 0)
        put_one(out, "process_cpu_seconds_total", "counter", "Processor time of this process.",
                seconds_of(usage.ru_utime) + seconds_of(usage.ru_stime));
    if (uv_resident_set_memory(&resident) == 0)
        put_one(out, "process_resident_memory_bytes", "gauge", "Resident memory of this process.",
                (double)resident);
    if (descriptors > 0)
        put_one(out, "process_open_fds", "gauge", "Open file descriptors of this process.", descriptors);
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0)
        put_one(out, "process_max_fds", "gauge", "File descriptors that this process may have open.",
                (double)limit.rlim_cur);
}

void metrics_put(const struct metrics *metrics, size_t in_flight, size_t limit, FILE *out)
{
    put_head(out, "tcpgreet_build_info", "gauge", "The versions of this program and its event loop.");
    (void)fprintf(out, "tcpgreet_build_info{version=\"%s\",libuv=\"%s\"} 1\n", TCPGREET_VERSION,
                  uv_version_string());
    put_counts(metrics, out);
    put_one(out, NAME "probes_in_flight", "gauge", "Probes that are under way.", (double)in_flight);
    put_one(out, NAME "probes_in_flight_limit", "gauge", "How many may be; a further one is answered 503.",
            (double)limit);
    put_durations(metrics, out);
    put_process(out);
}

void metrics_put_probe(const struct probe_brief *brief, FILE *out)
{
    put_one(out, "probe_success", "gauge", "Whether the probe succeeded.", brief->reason == ERR_OK);
    put_one(out, "probe_duration_seconds", "gauge", "How long the probe took.",
            (double)brief->total_ns / 1e9);
}
