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

/* What is used at most, measured with bench/flood, rounded up: an idle server, a worker's part of it (with
 * the buffers of the TLS connections used last), and connections that never read: what is queued for them
 * (CONN_QUEUE_BYTES), what they have sent (CONN_READ_BYTES), and with TLS a record of each kind and OpenSSL's
 * own. */
enum {
    SERVER_BYTES = 8 * 1024 * 1024,
    WORKER_BYTES = 6 * 1024 * 1024,
    PLAIN_CONNECTION_BYTES = 84 * 1024,
    TLS_CONNECTION_BYTES = 140 * 1024,
    CONNECTIONS_MIN = 16 /* however little memory there is */
};

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
    uint64_t each = config->use_tls ? TLS_CONNECTION_BYTES : PLAIN_CONNECTION_BYTES;
    uint64_t base = SERVER_BYTES + (uint64_t)capacity->workers * WORKER_BYTES;
    uint64_t memory = memory_limit("");
    size_t count = count_descriptors(config, capacity, max_rejections);
    size_t wanted = (size_t)config->max_connections;

    if (memory > 0 && memory / 2 < base + count * each)
        count = memory / 2 > base + CONNECTIONS_MIN * each ? (size_t)((memory / 2 - base) / each)
                                                           : CONNECTIONS_MIN;
    if (memory > 0 && memory / 2 < base + wanted * each)
        server_log_memory(wanted, base + wanted * each, memory);
    if (wanted > 0)
        count = wanted;
    server_log_bound(count, base + count * each);
    return count;
}

struct limits_config capacity_limits(const struct server_config *config, const struct capacity *capacity)
{
    size_t max_rejections;
    size_t max_connections = count_connections(config, capacity, &max_rejections);
    size_t per_address = (size_t)config->max_per_address;
    size_t handshakes = (size_t)config->max_handshakes;
    size_t half = max_connections > 1 ? max_connections / 2 : 1;
    size_t share = max_connections > HANDSHAKES_SHARE ? max_connections / HANDSHAKES_SHARE : 1;

    return (struct limits_config){.max_connections = max_connections,
                                  .max_per_address = per_address > 0 ? per_address : half,
                                  .max_rate_per_address = (size_t)config->max_rate_per_address,
                                  .max_handshakes = handshakes > 0 ? handshakes : share,
                                  .max_rejections = max_rejections};
}
