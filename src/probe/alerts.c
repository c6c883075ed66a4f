#include "measures.h"

#include <inttypes.h>

#define NS_PER_S 1e9

/* Where an alert is sought. */
struct search {
    const struct probe_result *result;
    const struct threshold_list *list;
    const char *option;
};

/* Returns: the slowest address whose time breaks the limit, NULL where none does. */
static const struct probe_address *find_offender(const struct probe_result *result, int time,
                                                 const struct threshold_range *range)
{
    const struct probe_address *slowest = NULL;

    for (size_t i = 0; i < result->address_count; i++) {
        const struct probe_address *address = &result->addresses[i];
        int64_t ns = probe_time_ns(address, time);
        if (ns >= 0 && threshold_alerts(range, (double)ns / NS_PER_S) &&
            (slowest == NULL || ns > probe_time_ns(slowest, time)))
            slowest = address;
    }
    return slowest;
}

static bool alert_time(const struct search *search, int time, struct probe_alert *alert)
{
    char peer[ENDPOINT_TEXT_BYTES];
    const char *name = probe_time_name(time);
    const struct threshold_range *range = threshold_find(search->list, name);
    const struct probe_address *address = range != NULL ? find_offender(search->result, time, range) : NULL;

    if (address == NULL)
        return false;
    (void)snprintf(alert->text, sizeof(alert->text), "%s took %.6f s at %s, %s %s %s=%s", name,
                   (double)probe_time_ns(address, time) / NS_PER_S, endpoint_format(&address->peer, peer),
                   range->inside ? "inside" : "outside", search->option, name, range->text);
    return true;
}

static bool alert_days(const struct probe_result *result, const struct thresholds *thresholds,
                       struct probe_alert *alert)
{
    char peer[ENDPOINT_TEXT_BYTES];
    const struct probe_address *address = probe_first_to_expire(result);
    int64_t days = address != NULL ? probe_days_left(result, address) : 0;

    if (address == NULL || thresholds->expect_days == 0 || days >= thresholds->expect_days)
        return false;
    (void)endpoint_format(&address->peer, peer);
    if (days < 0)
        (void)snprintf(alert->text, sizeof(alert->text),
                       "the certificate at %s is no longer valid, --expect-days asks for %d days", peer,
                       thresholds->expect_days);
    else
        (void)snprintf(alert->text, sizeof(alert->text),
                       "the certificate at %s is valid for %" PRId64 " %s more, --expect-days asks for %d",
                       peer, days, days == 1 ? "day" : "days", thresholds->expect_days);
    return true;
}

size_t probe_alerts(const struct probe_result *result, const struct thresholds *thresholds,
                    struct probe_alert alerts[PROBE_ALERTS_MAX])
{
    const struct search critical = {result, &thresholds->crit, "--crit"};
    const struct search warning = {result, &thresholds->warn, "--warn"};
    bool told[PROBE_TIMES] = {false};
    size_t count = 0;

    for (int time = PROBE_TIMES - 1; time >= 0; time--) {
        told[time] = alert_time(&critical, time, &alerts[count]);
        if (told[time])
            alerts[count++].critical = true;
    }
    for (int time = PROBE_TIMES - 1; time >= 0; time--)
        if (!told[time] && alert_time(&warning, time, &alerts[count]))
            alerts[count++].critical = false;
    if (alert_days(result, thresholds, &alerts[count]))
        alerts[count++].critical = false;
    return count;
}
