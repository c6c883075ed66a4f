#include "tcpgreet/net/resolver.h"

static int find_source(const char *source, struct resolver_query *query, struct endpoint *from,
                       struct err *err)
{
    struct target at;
    if (target_parse(&at, source, "0", err) < 0 || (at.kind != TARGET_IPV4 && at.kind != TARGET_IPV6)) {
        err_clear(err);
        return err_set(err, ERR_USAGE, 0, "--source takes an address of this machine, not \"%s\"", source);
    }
    struct resolver_query literal = {&at, at.kind == TARGET_IPV6, at.kind == TARGET_IPV4};
    if (resolver_lookup(&literal, from, 1, err) == 0)
        return err_context(err, "--source");
    query->want_v6 = query->want_v6 && at.kind == TARGET_IPV6;
    query->want_v4 = query->want_v4 && at.kind == TARGET_IPV4;
    return 0;
}

int resolver_narrow(struct resolver_query *query, const char *source, struct endpoint *from, struct err *err)
{
    const struct target *target = query->target;

    *from = (struct endpoint){0};
    if (source != NULL && find_source(source, query, from, err) < 0)
        return -1;
    query->want_v6 = query->want_v6 && target->kind != TARGET_IPV4;
    query->want_v4 = query->want_v4 && target->kind != TARGET_IPV6;
    if (query->want_v6 || query->want_v4)
        return 0;
    return err_set(err, ERR_USAGE, 0, "%s is not of the address family that -4, -6 or --source leaves",
                   target->host);
}
