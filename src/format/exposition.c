#include "tcpgreet/format/exposition.h"

#include <inttypes.h>

#include "tcpgreet/format/serialize.h"

static const double bounds[EXPOSITION_BUCKETS - 1] = {0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05,
                                                      0.1,    0.25,  0.5,    1,     2.5,  5,     10};

size_t exposition_bucket(double seconds)
{
    size_t i = 0;
    while (i < EXPOSITION_BUCKETS - 1 && seconds > bounds[i])
        i++;
    return i;
}

void exposition_head(FILE *out, const char *name, const char *type, const char *help)
{
    (void)fprintf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

void exposition_one(FILE *out, const char *name, const char *type, const char *help, double value)
{
    exposition_head(out, name, type, help);
    (void)fprintf(out, "%s %s\n", name, serialize_number(value).text);
}

void exposition_put(FILE *out, const struct exposition_sample *sample)
{
    (void)fprintf(out, "%s{%s=\"%s\"} %" PRIu64 "\n", sample->name, sample->label, sample->value,
                  sample->count);
}

void exposition_put_histogram(FILE *out, const struct exposition_histogram *histogram)
{
    const char *name = histogram->name;
    uint64_t count = 0;

    exposition_head(out, name, "histogram", histogram->help);
    for (size_t i = 0; i < EXPOSITION_BUCKETS; i++) {
        count += histogram->buckets[i];
        (void)fprintf(out, "%s_bucket{le=\"%s\"} %" PRIu64 "\n", name,
                      i + 1 < EXPOSITION_BUCKETS ? serialize_number(bounds[i]).text : "+Inf", count);
    }
    (void)fprintf(out, "%s_sum %s\n%s_count %" PRIu64 "\n", name, serialize_number(histogram->sum_s).text,
                  name, count);
}

void exposition_build_info(FILE *out, const char *libuv)
{
    exposition_head(out, "tcpgreet_build_info", "gauge", "The versions of this program and its event loop.");
    (void)fprintf(out, "tcpgreet_build_info{version=\"%s\",libuv=\"%s\"} 1\n", TCPGREET_VERSION, libuv);
}

void exposition_process(FILE *out, const struct process_usage *usage)
{
    const struct {
        const char *name, *type, *help;
        double value;
    } metrics[] = {
        {"process_cpu_seconds_total", "counter", "Processor time of this process.", usage->cpu_s},
        {"process_resident_memory_bytes", "gauge", "Resident memory of this process.", usage->resident_bytes},
        {"process_open_fds", "gauge", "Open file descriptors of this process.", usage->descriptors},
        {"process_max_fds", "gauge", "File descriptors that this process may have open.",
         usage->descriptor_limit},
    };

    for (size_t i = 0; i < sizeof(metrics) / sizeof(metrics[0]); i++)
        if (metrics[i].value > 0)
            exposition_one(out, metrics[i].name, metrics[i].type, metrics[i].help, metrics[i].value);
}
