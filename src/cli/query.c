#include "query.h"

#include <string.h>

#include "check.h"
#include "hint.h"
#include "table.h"

int query_set(struct probe_config *probe, const char *name, const char *word, struct err *err)
{
    const struct option_row *row = option_find(name, strlen(name));

    if (row == NULL || row->fields[MODE_PROBE].size == 0)
        return err_set(err, ERR_USAGE, 0, "--%s is not available in this build", name);
    return option_store_probe(row, word, probe, err);
}

static int check_families(const struct probe_config *probe, struct err *err)
{
    if (probe->ipv4_only && probe->ipv6_only)
        return err_set(err, ERR_USAGE, 0, "ipv4 and ipv6 exclude each other");
    if ((probe->ipv4_only && probe->target.kind == TARGET_IPV6) ||
        (probe->ipv6_only && probe->target.kind == TARGET_IPV4))
        return err_set(err, ERR_USAGE, 0, "the target is an address of the family that is excluded");
    return 0;
}

/* A proxy decides itself what it connects to. */
static int check_target(const struct probe_config *probe, struct err *err)
{
    return probe->proxy.kind != PROXY_NONE ? 0 : option_check_zone("target", &probe->target, err);
}

static int check_tls(const struct probe_config *probe, struct err *err)
{
    if (probe->use_tls && tls_available(err) != 0)
        return -1;
    return probe->tls.servername != NULL ? hint_name("servername", probe->tls.servername, err) : 0;
}

static int check_phases(const struct probe_config *probe, struct err *err)
{
    if (probe->proxy.kind != PROXY_NONE && probe->until == PROBE_UNTIL_RESOLVE)
        return err_set(err, ERR_USAGE, 0, "until=resolve shows nothing here: the proxy resolves the name");
    if (probe->expect_alert > 0 && probe->until != PROBE_UNTIL_TLS)
        return err_set(err, ERR_USAGE, 0, "expect_alert ends the probe with TLS: it excludes another until");
    if (probe->limits.expect_days.warning > 0 && probe->until < PROBE_UNTIL_TLS)
        return err_set(err, ERR_USAGE, 0, "expect_days needs a handshake: until=tls or until=dialogue");
    return 0;
}

/* The phases that are demanded without being named. */
void query_imply(struct probe_config *probe)
{
    static const char *const dialogue[] = {"welcome", "name", "close", "volume"};

    if (probe->script.count > 0 && probe->until == PROBE_UNTIL_AUTO)
        probe->until = PROBE_UNTIL_EXCHANGE;
    if (probe->expect_alert > 0 && probe->until == PROBE_UNTIL_AUTO)
        probe->until = PROBE_UNTIL_TLS;
    if (probe->until == PROBE_UNTIL_TLS || probe->expect_alert > 0 || probe->starttls != STARTTLS_NONE)
        probe->use_tls = true;
    for (size_t i = 0; i < sizeof(dialogue) / sizeof(dialogue[0]) && probe->until == PROBE_UNTIL_AUTO; i++)
        if (probe->volume_bytes > 0 || threshold_find(&probe->limits.warn, dialogue[i]) != NULL ||
            threshold_find(&probe->limits.crit, dialogue[i]) != NULL)
            probe->until = PROBE_UNTIL_DIALOGUE;
}

int query_complete(struct probe_config *probe, struct err *err)
{
    query_imply(probe);
    if (probe->until != PROBE_UNTIL_EXCHANGE) /* the query ends the probe before the exchange */
        probe->script = (struct script){0};
    return check_families(probe, err) != 0 || check_target(probe, err) != 0 || check_tls(probe, err) != 0 ||
                   check_phases(probe, err) != 0
               ? -1
               : 0;
}
