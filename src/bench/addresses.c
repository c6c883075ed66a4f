#include "addresses.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "tcpgreet/format/message.h"
#include "tcpgreet/net/reach.h"
#include "tcpgreet/net/resolver.h"
#include "tcpgreet/net/stream_tcp.h"

/* Skips what this machine cannot reach at all, and logs one line; an error where nothing remains. */
static int skip_unreachable(struct bench_addresses *addresses, bool quiet, struct err *err)
{
    char at[ENDPOINT_TEXT_BYTES], why[REACH_TEXT_BYTES], what[REACH_TEXT_BYTES];
    struct endpoint out = {0};
    enum reach reach = REACH_OPEN;
    size_t found = addresses->endpoint_count, kept = 0;

    for (size_t i = 0; i < found; i++) {
        enum reach one = reach_try(&addresses->endpoints[i]);
        if (reach_is_impossible(one)) {
            reach = one;
            out = addresses->endpoints[i];
        } else {
            addresses->endpoints[kept++] = addresses->endpoints[i];
        }
    }
    addresses->endpoint_count = kept;
    if (reach == REACH_OPEN)
        return 0;
    reach_text(reach, endpoint_family(&out), why);
    if (kept == 0)
        return err_set(err, ERR_CONNECT_UNREACHABLE, 0, "cannot connect to %s: %s (%s)",
                       endpoint_format(&out, at), why, reach_remedy(reach, endpoint_family(&out), what));
    if (!quiet)
        message_event(&(struct log_event){LOG_WARNING, "one-family", LOG_FACTS(log_text("error", why))},
                      "tcpgreet: %s: skipping %zu of %zu addresses", why, found - kept, found);
    return 0;
}

/* Returns: what is resolved and connected to. */
static const struct target *first_hop(const struct bench_config *config)
{
    return config->proxy.kind != PROXY_NONE ? &config->proxy.at : &config->target;
}

/* The name resolution. Invariant: waiting is how many families have not been answered. */
struct lookup {
    struct bench_addresses *addresses;
    uv_loop_t *loop;
    unsigned waiting;
    struct err failure;
};

static void add(struct bench_addresses *addresses, const struct endpoint *endpoint)
{
    bool fits = addresses->endpoint_count < BENCH_ENDPOINTS_MAX &&
                (addresses->source_count == 0 ||
                 endpoint_family(endpoint) == endpoint_family(&addresses->sources[0]));

    for (size_t i = 0; i < addresses->endpoint_count; i++)
        fits = fits && !endpoint_equal(endpoint, &addresses->endpoints[i]);
    if (fits)
        addresses->endpoints[addresses->endpoint_count++] = *endpoint;
}

static void on_answer(void *context, const struct resolver_answer *answer)
{
    struct lookup *lookup = context;

    for (size_t i = 0; i < answer->count; i++)
        add(lookup->addresses, &answer->endpoints[i]);
    if (answer->count == 0 && lookup->failure.reason != ERR_RESOLVE_TEMPORARY)
        lookup->failure = *answer->err;
    if (--lookup->waiting == 0)
        uv_stop(lookup->loop);
}

static void on_limit(uv_timer_t *timer)
{
    uv_stop(timer->loop);
}

/* Resolves as far as the time allows. Returns: 0, or -1 with err: it could not begin. */
static int resolve(struct lookup *lookup, const struct bench_config *config, struct err *err)
{
    const struct target *target = first_hop(config);
    struct resolver_query query = {target, !config->ipv4_only, !config->ipv6_only};
    enum target_kind kind = target->kind;
    bool is_literal = kind == TARGET_IPV4 || kind == TARGET_IPV6;

    lookup->waiting = is_literal ? 1 : (unsigned)query.want_v6 + (unsigned)query.want_v4;
    uv_timer_init(lookup->loop, &lookup->addresses->limit); /* which cannot fail */
    uv_timer_start(&lookup->addresses->limit, on_limit, (uint64_t)config->connect_timeout_ms, 0);
    struct resolver *resolver = resolver_start(lookup->loop, &query, on_answer, lookup, err);
    if (resolver == NULL)
        return -1;
    uv_run(lookup->loop, UV_RUN_DEFAULT);
    uv_timer_stop(&lookup->addresses->limit);
    resolver_cancel(resolver);
    return 0;
}

static int find_endpoints(struct bench_addresses *addresses, const struct bench_config *config,
                          uv_loop_t *loop, struct err *err)
{
    struct lookup lookup = {.addresses = addresses, .loop = loop};
    uint64_t begin_ms = uv_now(loop);

    if (resolve(&lookup, config, err) < 0)
        return -1;
    if (addresses->endpoint_count > 0)
        return skip_unreachable(addresses, config->quiet, err);
    if (lookup.failure.reason != ERR_OK)
        return err_set_from(err, &lookup.failure, "%s", lookup.failure.text);
    if (lookup.waiting == 0)
        return err_set(err, ERR_RESOLVE_NOT_FOUND, 0, "%s has no address of the family of --source",
                       first_hop(config)->host);
    if (uv_now(loop) - begin_ms < (uint64_t)config->connect_timeout_ms)
        return -1; /* the caller has stopped it */
    return err_set(err, ERR_RESOLVE_TEMPORARY, 0, "no name server answered for %s within %g s",
                   first_hop(config)->host, (double)config->connect_timeout_ms / 1000);
}

/* The address after this one, within the last 32 bits. */
static struct endpoint following(struct endpoint endpoint)
{
    uint32_t low;
    unsigned char *at = endpoint_family(&endpoint) == AF_INET
                            ? (unsigned char *)&endpoint.address.v4.sin_addr
                            : (unsigned char *)&endpoint.address.v6.sin6_addr + 12;
    memcpy(&low, at, sizeof low);
    low = htonl(ntohl(low) + 1);
    memcpy(at, &low, sizeof low);
    return endpoint;
}

static int parse_literal(const char *word, struct endpoint *endpoint, struct err *err)
{
    struct target target;
    if (target_parse(&target, word, "0", err) < 0)
        return -1;
    struct resolver_query query = {&target, target.kind == TARGET_IPV6, target.kind == TARGET_IPV4};
    return resolver_lookup(&query, endpoint, 1, err) == 1 ? 0 : -1;
}

/* ADDRESS, or FIRST-LAST: each has ports of its own. */
static int find_sources(struct bench_addresses *addresses, const char *source, struct err *err)
{
    char first[TARGET_HOST_BYTES];
    struct endpoint last;

    if (source == NULL)
        return 0;
    size_t length = strcspn(source, "-");
    snprintf(first, sizeof first, "%.*s", (int)length, source);
    if (parse_literal(first, &addresses->sources[0], err) < 0 ||
        parse_literal(source[length] == '-' ? source + length + 1 : first, &last, err) < 0)
        return err_context(err, "--source");
    addresses->source_count = 1;
    while (!endpoint_equal(&addresses->sources[addresses->source_count - 1], &last)) {
        if (addresses->source_count == BENCH_SOURCES_MAX)
            return err_set(err, ERR_USAGE, 0, "--source %s is not a range of at most %d addresses", source,
                           BENCH_SOURCES_MAX);
        addresses->sources[addresses->source_count] =
            following(addresses->sources[addresses->source_count - 1]);
        addresses->source_count++;
    }
    return 0;
}

/* Checks that each is an address of this machine. */
static int try_sources(const struct bench_addresses *addresses, struct err *err)
{
    char text[ENDPOINT_TEXT_BYTES];
    int status = 0;

    for (size_t i = 0; status == 0 && i < addresses->source_count; i++) {
        const struct endpoint *source = &addresses->sources[i];
        int fd = stream_tcp_socket(endpoint_family(source), err);
        if (fd < 0)
            return -1;
        if (bind(fd, &source->address.any, endpoint_length(source)) < 0)
            status = err_set(err, err_reason_of_system(errno), errno, "cannot use --source %s: %s%s",
                             endpoint_format(source, text), strerror(errno),
                             errno == EADDRNOTAVAIL ? " (it takes addresses of this machine)" : "");
        stream_tcp_close(fd);
    }
    return status;
}

int bench_addresses_find(struct bench_addresses *addresses, const struct bench_config *config,
                         uv_loop_t *loop, struct err *err)
{
    return find_sources(addresses, config->source, err) < 0 ||
                   find_endpoints(addresses, config, loop, err) < 0 || try_sources(addresses, err) < 0
               ? -1
               : 0;
}
