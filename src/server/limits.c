#include "limits.h"

#include <errno.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

#include "log.h"

enum { MS_PER_S = 1000, NONE = 0 /* no entry: entries[0] is not used */ };

/* Who is counted: an IPv4 address, or the first 64 bits of an IPv6 address. */
struct key {
    uint32_t words[2];
    uint32_t family;
};

/* One address. Invariants: it is in its bucket's chain while open > 0 or it is remembered; it is in the list
 * of those remembered if and only if open == 0. */
struct entry {
    struct key key;
    uint32_t next;  /* in the chain, or in the list of unused entries */
    uint32_t newer; /* in the list of those remembered */
    uint32_t older;
    uint32_t open;       /* connections */
    uint32_t handshakes; /* of them, waiting or in progress */
    int64_t paid;        /* until when its connections are paid for, in 1/max_rate_per_address ms */
};

struct report {
    int64_t next_ms;
    uint64_t suppressed;
};

/* Peers choose their addresses, so the hash depends on a secret (multiply-shift, Thorup's for pairs of
 * words: two addresses collide with the probability of chance). */
struct limits {
    pthread_mutex_t lock; /* of all that follows config and secret */
    struct limits_config config;
    uint64_t secret[4];
    size_t open;       /* connections in all */
    size_t peak;       /* of open, since limits_await_ebb; SIZE_MAX: the ebb is reported */
    size_t handshakes; /* in progress */
    size_t rejections;
    struct limits_waiter *members;
    struct limits_waiter *waiters; /* for handshakes; first come, first woken */
    uint32_t unused;
    uint32_t newest; /* of those remembered */
    uint32_t oldest;
    uint32_t bucket_mask;
    uint32_t *buckets;
    struct entry *entries;
    struct report reports[LIMITS_RESULTS];
};

static struct key key_of(const struct endpoint *peer)
{
    struct key key = {.family = (uint32_t)endpoint_family(peer)};
    if (endpoint_family(peer) != AF_INET6) {
        key.words[0] = peer->address.v4.sin_addr.s_addr;
        return key;
    }
    const struct in6_addr *address = &peer->address.v6.sin6_addr;
    if (IN6_IS_ADDR_V4MAPPED(address)) {
        key.family = AF_INET;
        memcpy(key.words, address->s6_addr + 12, 4);
    } else {
        memcpy(key.words, address->s6_addr, sizeof key.words);
    }
    return key;
}

static bool is_equal(const struct key *a, const struct key *b)
{
    return a->words[0] == b->words[0] && a->words[1] == b->words[1] && a->family == b->family;
}

static uint32_t *bucket_of(struct limits *limits, const struct key *key)
{
    const uint64_t *secret = limits->secret;
    uint64_t hash =
        (secret[0] + key->words[0]) * (secret[1] + key->words[1]) + secret[2] * key->family + secret[3];
    return &limits->buckets[(uint32_t)(hash >> 32) & limits->bucket_mask];
}

static uint32_t find(struct limits *limits, const struct key *key)
{
    uint32_t at = *bucket_of(limits, key);
    while (at != NONE && !is_equal(&limits->entries[at].key, key))
        at = limits->entries[at].next;
    return at;
}

static void forget(struct limits *limits, uint32_t index)
{
    struct entry *entry = &limits->entries[index];
    uint32_t *link = bucket_of(limits, &entry->key);
    while (*link != index)
        link = &limits->entries[*link].next;
    *link = entry->next;
    entry->next = limits->unused;
    limits->unused = index;
}

/* Takes it out of the list of those remembered. */
static void unlink_recent(struct limits *limits, uint32_t index)
{
    struct entry *entry = &limits->entries[index];
    *(entry->newer != NONE ? &limits->entries[entry->newer].older : &limits->newest) = entry->older;
    *(entry->older != NONE ? &limits->entries[entry->older].newer : &limits->oldest) = entry->newer;
}

static void remember(struct limits *limits, uint32_t index)
{
    struct entry *entry = &limits->entries[index];
    entry->newer = NONE;
    entry->older = limits->newest;
    *(limits->newest != NONE ? &limits->entries[limits->newest].newer : &limits->oldest) = index;
    limits->newest = index;
}

/* There is always one: entries are as many as connections and remembered addresses together. */
static uint32_t add(struct limits *limits, const struct key *key)
{
    if (limits->unused == NONE) {
        uint32_t oldest = limits->oldest;
        unlink_recent(limits, oldest);
        forget(limits, oldest);
    }
    uint32_t index = limits->unused, *bucket = bucket_of(limits, key);
    struct entry *entry = &limits->entries[index];
    limits->unused = entry->next;
    *entry = (struct entry){.key = *key, .next = *bucket, .paid = INT64_MIN};
    *bucket = index;
    return index;
}

/* Each connection pays for the share of a second that is its own, at most one second in advance. */
static bool is_within_rate(const struct limits *limits, struct entry *entry, int64_t now_ms)
{
    int64_t rate = (int64_t)limits->config.max_rate_per_address;
    int64_t now = now_ms * rate;
    int64_t paid = (entry->paid > now ? entry->paid : now) + MS_PER_S;
    if (rate > 0 && paid > now + MS_PER_S * rate)
        return false;
    entry->paid = paid;
    return true;
}

/* Counts one more connection of an address. Under the lock. */
static enum limits_result take_address(struct limits *limits, const struct endpoint *peer, int64_t now_ms)
{
    const struct key key = key_of(peer);
    uint32_t index = find(limits, &key);
    if (index == NONE)
        index = add(limits, &key);
    else if (limits->entries[index].open == 0)
        unlink_recent(limits, index);
    struct entry *entry = &limits->entries[index];
    enum limits_result result = LIMITS_ACCEPTED;
    if (entry->open >= limits->config.max_per_address)
        result = LIMITS_ADDRESS_FULL;
    else if (!is_within_rate(limits, entry, now_ms))
        result = LIMITS_ADDRESS_RATE;
    if (result == LIMITS_ACCEPTED)
        entry->open++;
    else if (entry->open == 0)
        remember(limits, index);
    return result;
}

/* Under the lock. */
static enum limits_result take(struct limits *limits, const struct endpoint *peer, int64_t now_ms)
{
    if (limits->open >= limits->config.max_connections)
        return LIMITS_FULL;
    enum limits_result result = peer != NULL ? take_address(limits, peer, now_ms) : LIMITS_ACCEPTED;
    if (result == LIMITS_ACCEPTED) {
        limits->open++;
        if (limits->peak < limits->open)
            limits->peak = limits->open;
    }
    return result;
}

/* Under the lock. Shape: count: of what the line is about. Returns: whether it is time for a line about this
 * limit; then *suppressed is how many others it stands for. */
static bool is_report_due(struct limits *limits, enum limits_result result, uint64_t count, int64_t now_ms,
                          uint64_t *suppressed)
{
    struct report *report = &limits->reports[result];
    if (now_ms < report->next_ms) {
        report->suppressed += count;
        return false;
    }
    *suppressed = report->suppressed + count - 1;
    *report = (struct report){.next_ms = now_ms + LIMITS_LOG_INTERVAL_MS};
    return true;
}

/* Under the lock, which it releases. */
static enum limits_result settle(struct limits *limits, enum limits_result result,
                                 const struct endpoint *peer, int64_t now_ms)
{
    uint64_t suppressed = 0;
    bool is_due = result != LIMITS_ACCEPTED && is_report_due(limits, result, 1, now_ms, &suppressed);

    pthread_mutex_unlock(&limits->lock);
    if (is_due)
        server_log_limit(&limits->config, result, peer, suppressed);
    return result;
}

enum limits_result limits_take(struct limits *limits, const struct limits_peer *peer, int64_t now_ms)
{
    pthread_mutex_lock(&limits->lock);
    return settle(limits, take(limits, peer->is_counted ? peer->address : NULL, now_ms), peer->address,
                  now_ms);
}

enum limits_result limits_count(struct limits *limits, const struct endpoint *peer, int64_t now_ms)
{
    pthread_mutex_lock(&limits->lock);
    return settle(limits, take_address(limits, peer, now_ms), peer, now_ms);
}

/* Under the lock. */
static void release_address(struct limits *limits, const struct endpoint *peer)
{
    const struct key key = key_of(peer);
    uint32_t index = find(limits, &key);

    if (--limits->entries[index].open > 0)
        return;
    if (limits->config.max_rate_per_address > 0)
        remember(limits, index);
    else
        forget(limits, index);
}

void limits_release(struct limits *limits, const struct limits_peer *peer)
{
    pthread_mutex_lock(&limits->lock);
    limits->open--;
    if (peer->is_counted)
        release_address(limits, peer->address);
    bool has_ebbed =
        limits->peak != SIZE_MAX && limits->peak >= LIMITS_EBB_MIN && limits->open <= limits->peak / 2;
    if (has_ebbed)
        limits->peak = SIZE_MAX;
    pthread_mutex_unlock(&limits->lock);
    if (has_ebbed && limits->config.ebbed != NULL)
        limits->config.ebbed(limits->config.context);
}

bool limits_take_rejection(struct limits *limits)
{
    pthread_mutex_lock(&limits->lock);
    bool taken = limits->rejections < limits->config.max_rejections;
    limits->rejections += taken;
    pthread_mutex_unlock(&limits->lock);
    return taken;
}

void limits_release_rejection(struct limits *limits)
{
    pthread_mutex_lock(&limits->lock);
    limits->rejections--;
    pthread_mutex_unlock(&limits->lock);
}

size_t limits_await_handshake(struct limits *limits, const struct endpoint *peer)
{
    const struct key key = key_of(peer);
    pthread_mutex_lock(&limits->lock);
    size_t others = limits->entries[find(limits, &key)].handshakes++;
    pthread_mutex_unlock(&limits->lock);
    return others;
}

void limits_join(struct limits *limits, struct limits_waiter *waiter)
{
    pthread_mutex_lock(&limits->lock);
    waiter->next_member = limits->members;
    limits->members = waiter;
    pthread_mutex_unlock(&limits->lock);
}

void limits_call(struct limits *limits, const struct limits_waiter *waiter, uint8_t rank)
{
    pthread_mutex_lock(&limits->lock);
    for (struct limits_waiter *at = limits->members; at != NULL; at = at->next_member) {
        if (at == waiter)
            continue;
        at->called_rank = at->is_called && at->called_rank < rank ? at->called_rank : rank;
        at->is_called = true;
        at->wake(at->context);
    }
    pthread_mutex_unlock(&limits->lock);
}

bool limits_is_called(struct limits *limits, struct limits_waiter *waiter, uint8_t *rank)
{
    pthread_mutex_lock(&limits->lock);
    bool is_called = waiter->is_called;
    waiter->is_called = false;
    *rank = waiter->called_rank;
    pthread_mutex_unlock(&limits->lock);
    return is_called;
}

/* Under the lock. */
static void begin_waiting(struct limits *limits, struct limits_waiter *waiter)
{
    struct limits_waiter **end = &limits->waiters;
    if (waiter->is_waiting)
        return;
    while (*end != NULL)
        end = &(*end)->next;
    *end = waiter;
    waiter->is_waiting = true;
    waiter->next = NULL;
}

/* Under the lock. */
static void wake_first(struct limits *limits)
{
    struct limits_waiter *first = limits->waiters;
    if (first == NULL || limits->handshakes >= limits->config.max_handshakes)
        return;
    limits->waiters = first->next;
    first->is_waiting = false;
    first->wake(first->context);
}

bool limits_begin_handshake(struct limits *limits, struct limits_waiter *waiter)
{
    pthread_mutex_lock(&limits->lock);
    bool begun = limits->handshakes < limits->config.max_handshakes;
    if (begun)
        limits->handshakes++;
    else
        begin_waiting(limits, waiter);
    pthread_mutex_unlock(&limits->lock);
    return begun;
}

void limits_report_waiting(struct limits *limits, const struct endpoint *peer, uint64_t count, int64_t now_ms)
{
    uint64_t suppressed = 0;

    pthread_mutex_lock(&limits->lock);
    bool is_due = is_report_due(limits, LIMITS_HANDSHAKES, count, now_ms, &suppressed);
    pthread_mutex_unlock(&limits->lock);
    if (is_due)
        server_log_waiting(peer, limits->config.max_handshakes, suppressed);
}

void limits_end_handshake(struct limits *limits, const struct endpoint *peer, bool has_begun)
{
    const struct key key = key_of(peer);
    pthread_mutex_lock(&limits->lock);
    limits->entries[find(limits, &key)].handshakes--;
    limits->handshakes -= has_begun;
    if (has_begun)
        wake_first(limits);
    pthread_mutex_unlock(&limits->lock);
}

void limits_stop_waiting(struct limits *limits, struct limits_waiter *waiter)
{
    struct limits_waiter **at = &limits->waiters;

    pthread_mutex_lock(&limits->lock);
    while (*at != NULL && *at != waiter)
        at = &(*at)->next;
    if (*at != NULL)
        *at = waiter->next;
    waiter->is_waiting = false;
    wake_first(limits);
    pthread_mutex_unlock(&limits->lock);
}

void limits_leave(struct limits *limits, struct limits_waiter *waiter)
{
    struct limits_waiter **at = &limits->members;

    limits_stop_waiting(limits, waiter);
    pthread_mutex_lock(&limits->lock);
    while (*at != NULL && *at != waiter)
        at = &(*at)->next_member;
    if (*at != NULL)
        *at = waiter->next_member;
    pthread_mutex_unlock(&limits->lock);
}

void limits_await_ebb(struct limits *limits)
{
    pthread_mutex_lock(&limits->lock);
    limits->peak = limits->open;
    pthread_mutex_unlock(&limits->lock);
}

size_t limits_open(struct limits *limits)
{
    pthread_mutex_lock(&limits->lock);
    size_t open = limits->open;
    pthread_mutex_unlock(&limits->lock);
    return open;
}

/* Shape: count: entries, without the first. */
static int allocate(struct limits *limits, size_t count)
{
    size_t buckets = 1;
    while (buckets < count)
        buckets *= 2;
    limits->bucket_mask = (uint32_t)(buckets - 1);
    limits->buckets = calloc(buckets, sizeof *limits->buckets);
    limits->entries = calloc(count + 1, sizeof *limits->entries);
    if (limits->buckets == NULL || limits->entries == NULL)
        return -1;
    limits->unused = 1;
    for (uint32_t i = 1; i < count; i++)
        limits->entries[i].next = i + 1;
    return 0;
}

static void free_memory(struct limits *limits)
{
    if (limits != NULL) {
        free(limits->buckets);
        free(limits->entries);
    }
    free(limits);
}

struct limits *limits_new(const struct limits_config *config, struct err *err)
{
    struct limits *limits = calloc(1, sizeof *limits);
    size_t recent = config->max_rate_per_address > 0 ? LIMITS_RECENT_MAX : 0;
    int failure = ENOMEM;

    if (limits != NULL && allocate(limits, config->max_connections + recent) == 0)
        failure = -uv_random(NULL, NULL, limits->secret, sizeof limits->secret, 0, NULL);
    if (failure == 0)
        failure = pthread_mutex_init(&limits->lock, NULL);
    if (failure != 0) {
        err_set(err, ERR_INTERNAL, failure, "cannot count connections: %s", strerror(failure));
        free_memory(limits);
        return NULL;
    }
    limits->config = *config;
    return limits;
}

void limits_free(struct limits *limits)
{
    if (limits != NULL)
        pthread_mutex_destroy(&limits->lock);
    free_memory(limits);
}
