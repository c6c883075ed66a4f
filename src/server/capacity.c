#include "capacity.h"

#include "log.h"
#include "tcpgreet/os/memory.h"
#include "tcpgreet/os/process.h"

enum {
    RESERVED_DESCRIPTORS = 24, /* standard streams, the main loop, the log, a reload's files */
    DESCRIPTORS_A_WORKER = 6,  /* its loop */
    REJECTIONS = 64,           /* connections being rejected at once, by all workers */
    HANDSHAKES_SHARE = 4,      /* one in so many connections may be in its TLS handshake */
};

/* What is used at most, computed and held against bench/flood, rounded up: an idle server, a worker's part of
 * it (with the buffers of the TLS connections used last), and connections that never read: what they have
 * sent behind a part of a name (CONN_READ_BYTES, and a buffer doubles), what is queued for them
 * (DIALOGUE_OUT_BYTES, and doubled by the final message), and with TLS a record of each kind and OpenSSL's
 * own. In its handshake, a connection may have the largest ClientHello that OpenSSL accepts, 128 KiB,
 * instead. */
enum {
    SERVER_BYTES = 8 * 1024 * 1024,
    WORKER_BYTES = 6 * 1024 * 1024,
    PLAIN_CONNECTION_BYTES = 72 * 1024,
    TLS_CONNECTION_BYTES = 124 * 1024,
    TLS_HANDSHAKE_BYTES = 60 * 1024, /* more */
    CONNECTIONS_MIN = 16             /* however little memory there is */
};

/* Returns: how many of so many connections may be in their handshake. */
static size_t count_handshakes(const struct server_config *config, size_t connections)
{
    size_t share = connections > HANDSHAKES_SHARE ? connections / HANDSHAKES_SHARE : 1;
    return config->max_handshakes > 0 ? (size_t)config->max_handshakes : share;
}

/* Returns: what so many connections use at most. */
static uint64_t count_bytes(const struct server_config *config, const struct capacity *capacity, size_t count)
{
    uint64_t base = SERVER_BYTES + (uint64_t)capacity->workers * WORKER_BYTES;
    size_t handshakes = count_handshakes(config, count);

    if (!config->use_tls)
        return base + (uint64_t)count * PLAIN_CONNECTION_BYTES;
    return base + (uint64_t)count * TLS_CONNECTION_BYTES +
           (uint64_t)(handshakes < count ? handshakes : count) * TLS_HANDSHAKE_BYTES;
}

/* Returns: how many fit into so many bytes, at most `most`. */
static size_t fit(const struct server_config *config, const struct capacity *capacity, size_t most,
                  uint64_t bytes)
{
    size_t least = most < CONNECTIONS_MIN ? most : CONNECTIONS_MIN;
    while (least < most) {
        size_t middle = most - (most - least) / 2;
        if (count_bytes(config, capacity, middle) <= bytes)
            least = middle;
        else
            most = middle - 1;
    }
    return least;
}

/* How many connections the descriptors are for; rejecting some needs them, too. Returns: of how many. */
static size_t count_descriptors(const struct server_config *config, const struct capacity *capacity,
                                size_t *max_rejections)
{
    size_t limit = process_raise_descriptors();
    size_t reserved = RESERVED_DESCRIPTORS + capacity->reserved +
                      capacity->workers * (DESCRIPTORS_A_WORKER + capacity->listeners);
    size_t each = capacity->descriptors;
    size_t rest = limit > reserved + 2 * each ? (limit - reserved) / each : 2;
    size_t wanted = (size_t)config->max_connections;

    *max_rejections = rest / 8 < REJECTIONS ? rest / 8 : REJECTIONS;
    if (wanted > rest - *max_rejections)
        server_log_descriptors(wanted, limit, (wanted + REJECTIONS) * each + reserved);
    return rest - *max_rejections;
}

/* How many connections fit: into the descriptors, and at their largest into half of the memory. The kernel's
 * buffers of their sockets need the rest. */
static size_t count_connections(const struct server_config *config, const struct capacity *capacity,
                                size_t *max_rejections)
{
    uint64_t memory = memory_limit("");
    size_t count = count_descriptors(config, capacity, max_rejections);
    size_t wanted = (size_t)config->max_connections;

    if (memory > 0)
        count = fit(config, capacity, count, memory / 2);
    if (wanted > 0 && memory > 0 && memory / 2 < count_bytes(config, capacity, wanted))
        server_log_memory(wanted, count_bytes(config, capacity, wanted), memory);
    if (wanted > 0)
        count = wanted;
    server_log_bound(count, count_bytes(config, capacity, count));
    return count;
}

struct limits_config capacity_limits(const struct server_config *config, const struct capacity *capacity)
{
    size_t max_rejections;
    size_t max_connections = count_connections(config, capacity, &max_rejections);
    size_t per_address = (size_t)config->max_per_address;
    size_t half = max_connections > 1 ? max_connections / 2 : 1;

    return (struct limits_config){.max_connections = max_connections,
                                  .max_per_address = per_address > 0 ? per_address : half,
                                  .max_rate_per_address = (size_t)config->max_rate_per_address,
                                  .max_handshakes = count_handshakes(config, max_connections),
                                  .max_rejections = max_rejections};
}
