#include "measures.h"
#include "phrases.h"

#include <inttypes.h>

#include "tcpgreet/format/text.h"

#define NS_PER_S 1e9

const char *probe_plugin_word(int code)
{
    static const char *const words[] = {[PROBE_PLUGIN_OK] = "OK",
                                        [PROBE_PLUGIN_WARNING] = "WARNING",
                                        [PROBE_PLUGIN_CRITICAL] = "CRITICAL",
                                        [PROBE_PLUGIN_UNKNOWN] = "UNKNOWN"};
    return words[code];
}

int probe_plugin_worse(int a, int b)
{
    static const int severity[] = {[PROBE_PLUGIN_OK] = 0,
                                   [PROBE_PLUGIN_WARNING] = 1,
                                   [PROBE_PLUGIN_UNKNOWN] = 2,
                                   [PROBE_PLUGIN_CRITICAL] = 3};
    return severity[a] >= severity[b] ? a : b;
}

/* A failure on this side is no statement about the peer. */
static int status_of(enum err_reason reason)
{
    switch (reason) {
    case ERR_OK:
        return PROBE_PLUGIN_OK;
    case ERR_DEGRADED:
    case ERR_THRESHOLD:
        return PROBE_PLUGIN_WARNING;
    case ERR_INTERNAL:
    case ERR_USAGE:
    case ERR_INTERRUPTED:
    case ERR_TERMINATED:
        return PROBE_PLUGIN_UNKNOWN;
    default:
        return err_exit_code(reason) == err_exit_code(ERR_SYSTEM_OTHER) ? PROBE_PLUGIN_UNKNOWN
                                                                        : PROBE_PLUGIN_CRITICAL;
    }
}

/* One line without '|', which begins the performance data. */
static void put_text(FILE *out, const char *text)
{
    char shown[TEXT_PRINTABLE_BYTES];

    for (const char *at = text_printable(text, false, shown, sizeof(shown)); *at != '\0'; at++)
        (void)fputc(*at == '|' ? '/' : *at, out);
}

static void put_ok(FILE *out, const struct probe_result *result)
{
    size_t ok = 0, counted = probe_result_counted(result);
    struct text_line through = {0};
    int64_t slowest_ns = probe_slowest_ns(result, PROBE_TOTAL);

    for (size_t i = 0; i < result->address_count; i++)
        ok += result->addresses[i].err.reason == ERR_OK;
    (void)fprintf(out, "%zu/%zu %s OK", ok, counted, counted == 1 ? "address" : "addresses");
    probe_phrase_through(result, &through);
    put_text(out, through.text);
    if (slowest_ns >= 0)
        (void)fprintf(out, ", slowest total %.6f s", (double)slowest_ns / NS_PER_S);
}

static void put_sentences(FILE *out, const struct probe_finding *sentences, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        (void)fputs("; ", out);
        put_text(out, sentences[i].text);
    }
}

/* The verdict, then the limits that are broken, which a verdict of theirs would only repeat. */
static void put_message(FILE *out, const struct probe_result *result, const struct probe_alert *alerts,
                        size_t count)
{
    bool repeats = result->verdict.reason == ERR_THRESHOLD && count > 0;
    const char *between = "";
    struct probe_finding doubts[PROBE_FINDINGS_MAX], remarks[PROBE_REMARKS_MAX];

    if (result->verdict.reason != ERR_OK && !repeats) {
        put_text(out, result->verdict.text);
        between = "; ";
    } else if (count == 0) {
        put_ok(out, result);
        put_sentences(out, doubts, probe_doubts(result, doubts));
    }
    for (size_t i = 0; i < count; i++) {
        (void)fputs(between, out);
        put_text(out, alerts[i].text);
        between = "; ";
    }
    put_sentences(out, remarks, probe_remarks(result, remarks));
}

/* Source: the guidelines' "Performance data": 'label'=value[UOM];[warn];[crit];[min];[max]. */
static void put_time(FILE *out, int time, int64_t ns, const struct thresholds *thresholds)
{
    const char *name = probe_time_name(time);
    const struct threshold_range *warn = threshold_find(&thresholds->warn, name);
    const struct threshold_range *crit = threshold_find(&thresholds->crit, name);

    (void)fprintf(out, " '%s'=%.6fs;%s;%s;0;", name, (double)ns / NS_PER_S, warn != NULL ? warn->text : "",
                  crit != NULL ? crit->text : "");
}

static void put_days_limit(FILE *out, int expected, const struct threshold_list *list)
{
    const struct threshold_range *range = threshold_find(list, "days");
    if (expected > 0)
        (void)fprintf(out, "%d:", expected);
    else if (range != NULL)
        (void)fputs(range->text, out);
}

static void put_performance(FILE *out, const struct probe_result *result, const struct thresholds *thresholds)
{
    const struct probe_address *first = probe_first_to_expire(result);
    const char *bar = " |";

    for (int i = 0; i < PROBE_TIMES; i++) {
        int time = i == 0 ? PROBE_TOTAL : i - 1;
        int64_t ns = probe_slowest_ns(result, time);
        if (ns < 0)
            continue;
        (void)fputs(bar, out);
        put_time(out, time, ns, thresholds);
        bar = "";
    }
    if (first == NULL)
        return;
    (void)fprintf(out, "%s 'days'=%" PRId64 ";", bar, probe_days_left(result, first));
    put_days_limit(out, thresholds->expect_days.warning, &thresholds->warn);
    (void)fputc(';', out);
    put_days_limit(out, thresholds->expect_days.critical, &thresholds->crit);
    (void)fputs(";;", out);
}

int probe_report_nagios_line(const struct probe_result *result, const struct thresholds *thresholds,
                             FILE *out)
{
    struct probe_alert alerts[PROBE_ALERTS_MAX];
    int status = status_of(result->verdict.reason);
    size_t count = probe_alerts(result, thresholds, alerts);

    if (count > 0 && status < PROBE_PLUGIN_WARNING)
        status = PROBE_PLUGIN_WARNING;
    if (count > 0 && alerts[0].critical && status < PROBE_PLUGIN_CRITICAL)
        status = PROBE_PLUGIN_CRITICAL;
    (void)fprintf(out, "%s - ", probe_plugin_word(status));
    if (result->target[0] != '\0' && !result->verdict_names_target) {
        put_text(out, result->target);
        (void)fputs(": ", out);
    }
    put_message(out, result, alerts, count);
    return status;
}

int probe_report_nagios(const struct probe_result *result, const struct thresholds *thresholds, FILE *out)
{
    (void)fputs("TCPGREET ", out);
    int status = probe_report_nagios_line(result, thresholds, out);
    put_performance(out, result, thresholds);
    (void)fputc('\n', out);
    return status;
}
