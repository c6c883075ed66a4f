#include "measures.h"

#include <inttypes.h>
#include <string.h>

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
        if (ns >= 0 && probe_is_measured(result, address) && threshold_alerts(range, (double)ns / NS_PER_S) &&
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

/* What --expect-days asks for, or the range that --warn or --crit gives. */
struct days_limit {
    int expected; /* 0: none */
    const struct threshold_range *range;
    const char *option;
};

/* Writes who asks for what. Returns: whether the limit is broken. */
static bool breaks_days(const struct days_limit *limit, int64_t days, char *asks, size_t room)
{
    if (limit->expected > 0 && days < limit->expected) {
        (void)snprintf(asks, room, "--expect-days asks for %d", limit->expected);
        return true;
    }
    if (limit->range == NULL || !threshold_alerts(limit->range, (double)days))
        return false;
    (void)snprintf(asks, room, "%s %s days=%s", limit->range->inside ? "inside" : "outside", limit->option,
                   limit->range->text);
    return true;
}

/* "the certificate at [::1]:6000", or the CA above it that expires first. */
static void name_certificate(const struct probe_address *address, struct probe_alert *alert)
{
    char peer[ENDPOINT_TEXT_BYTES];
    (void)endpoint_format(&address->peer, peer);
    if (address->tls.expires_first[0] == '\0')
        (void)snprintf(alert->text, sizeof(alert->text), "the certificate at %s", peer);
    else
        (void)snprintf(alert->text, sizeof(alert->text), "the CA certificate \"%.80s\" above that at %s",
                       address->tls.expires_first, peer);
}

static bool alert_days(const struct probe_result *result, const struct days_limit *limit,
                       struct probe_alert *alert)
{
    char asks[THRESHOLD_RANGE_BYTES + 32];
    const struct probe_address *address = probe_first_to_expire(result);
    int64_t days = address != NULL ? probe_days_left(result, address) : 0;

    if (address == NULL || !breaks_days(limit, days, asks, sizeof(asks)))
        return false;
    name_certificate(address, alert);
    size_t length = strlen(alert->text);
    if (days < 0)
        (void)snprintf(alert->text + length, sizeof(alert->text) - length, " is no longer valid, %s%s", asks,
                       limit->expected > 0 ? " days" : "");
    else
        (void)snprintf(alert->text + length, sizeof(alert->text) - length,
                       " is valid for %" PRId64 " %s more, %s", days, days == 1 ? "day" : "days", asks);
    return true;
}

/* One alert at most: the gravest. Returns: how many. */
static size_t alert_certificates(const struct probe_result *result, const struct thresholds *thresholds,
                                 struct probe_alert *alert)
{
    const struct days_limit limits[] = {
        {thresholds->expect_days.critical, NULL, ""},
        {0, threshold_find(&thresholds->crit, "days"), "--crit"},
        {thresholds->expect_days.warning, NULL, ""},
        {0, threshold_find(&thresholds->warn, "days"), "--warn"},
    };
    enum { CRITICAL_LIMITS = 2 };

    for (size_t i = 0; i < sizeof limits / sizeof limits[0]; i++)
        if (alert_days(result, &limits[i], alert)) {
            alert->critical = i < CRITICAL_LIMITS;
            return 1;
        }
    return 0;
}

size_t probe_alerts(const struct probe_result *result, const struct thresholds *thresholds,
                    struct probe_alert alerts[PROBE_ALERTS_MAX])
{
    const struct search critical = {result, &thresholds->crit, "--crit"};
    const struct search warning = {result, &thresholds->warn, "--warn"};
    bool reported[PROBE_TIMES] = {false};
    size_t count = 0;

    for (int time = PROBE_TIMES - 1; time >= 0; time--) {
        reported[time] = alert_time(&critical, time, &alerts[count]);
        if (reported[time])
            alerts[count++].critical = true;
    }
    for (int time = PROBE_TIMES - 1; time >= 0; time--)
        if (!reported[time] && alert_time(&warning, time, &alerts[count]))
            alerts[count++].critical = false;
    count += alert_certificates(result, thresholds, &alerts[count]);
    return count;
}

bool probe_alerts_judge(struct probe_result *result, const struct thresholds *thresholds)
{
    struct probe_alert alerts[PROBE_ALERTS_MAX];

    if (result->verdict.reason != ERR_OK)
        return false;
    if (probe_alerts(result, thresholds, alerts) == 0)
        return true;
    err_set(&result->verdict, ERR_THRESHOLD, 0, "%s", alerts[0].text);
    return false;
}
