#include "support/probe_samples.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

enum { STARTED_S = 1767225600, DAY_S = 86400, PORT = 6000 }; /* 2026-01-01 00:00:00 UTC */

#define US INT64_C(1000)

/* A certificate and what the handshake agreed upon. */
static const struct stream_tls_facts good_tls = {
    .version = "TLSv1.3",
    .cipher = "TLS_AES_128_GCM_SHA256",
    .group = "x25519",
    .alpn = "greet",
    .subject = "greet.example.net, www.greet.example.net",
    .issuer = "Example Issuing CA 3",
    .not_before = STARTED_S - 48 * DAY_S,
    .not_after = STARTED_S + 42 * DAY_S + 3600,
    .pin = "6a1c0f5de2b7394488d05b7c31f2a9e06a1c0f5de2b7394488d05b7c31f2a9e0",
    .key = "EC P-256",
    .chain = {"greet.example.net", "Example Issuing CA 3"},
    .chain_count = 2,
    .trusted = true,
};

static const struct stream_tls_facts expired_tls = {
    .subject = "greet.example.net",
    .issuer = "Example Issuing CA 3",
    .not_before = STARTED_S - 93 * DAY_S,
    .not_after = STARTED_S - 3 * DAY_S,
    .pin = "11c40f5de2b7394488d05b7c31f2a9e06a1c0f5de2b7394488d05b7c31f2a911",
    .key = "RSA 2048",
    .chain = {"greet.example.net", "Example Issuing CA 3"},
    .chain_count = 2,
    .distrust = "it expired on 2025-12-29 00:00 UTC, 3 days ago",
};

static const struct stream_tls_facts other_tls = {
    .subject = "default.hosting.example, *.customers.hosting.example",
    .issuer = "default.hosting.example",
    .not_before = STARTED_S - 400 * DAY_S,
    .not_after = STARTED_S + 3250 * DAY_S,
    .pin = "77aa0f5de2b7394488d05b7c31f2a9e06a1c0f5de2b7394488d05b7c31f2a977",
    .key = "RSA 2048",
    .chain = {"default.hosting.example"},
    .chain_count = 1,
    .distrust = "it is for default.hosting.example, *.customers.hosting.example, not for greet.example.net",
};

/* One address: how long each phase after resolve took, µs; -1: not reached. */
struct row {
    const char *peer;
    const char *local;
    const char *interface;
    int64_t us[PROBE_PHASES];
    enum err_reason reason;
    const char *why;
    const struct stream_tls_facts *tls;
    enum probe_resumption resumption;
    uint32_t mss, rtt_us, retransmits, syn_retransmits;
    enum reach reach;
};

struct sample {
    const char *name;
    const char *host;
    bool literal;
    bool tls;
    enum probe_until until;
    int64_t v6_us, v4_us; /* the name service's answers */
    enum err_reason v6_reason, v4_reason;
    enum err_reason verdict;
    const char *text;
    struct row rows[8];
};

#define TIMES(connect, tls, welcome, name, close)                                                            \
    {                                                                                                        \
        -1, (connect), -1, -1, (tls), (welcome), (name), (close), -1, -1                                     \
    }

static const struct sample samples[PROBE_SAMPLES] = {
    [PROBE_SAMPLE_OK] =
        {"ok", "localhost", .until = PROBE_UNTIL_DIALOGUE, .v6_us = 312, .v4_us = 298,
         .rows = {{"::1", "::1", "lo", TIMES(58, -1, 143, 96, 61), .mss = 32741, .rtt_us = 21},
                  {"127.0.0.1", "127.0.0.1", "lo", TIMES(44, -1, 131, 88, 57), .mss = 32768, .rtt_us = 19}}},
    [PROBE_SAMPLE_TLS_OK] =
        {"tls_ok", "greet.example.net", .tls = true, .until = PROBE_UNTIL_DIALOGUE, .v6_us = 3140,
         .v4_us = 2870,
         .rows = {{"2001:db8:10::25", "2001:db8:77::14", "eth0", TIMES(11320, 24180, 240, 11460, 11390),
                   .tls = &good_tls, .resumption = PROBE_RESUMPTION_ACCEPTED, .mss = 1428, .rtt_us = 11270},
                  {"192.0.2.25", "198.51.100.14", "eth0", TIMES(10940, 23760, 220, 11020, 10980),
                   .tls = &good_tls, .resumption = PROBE_RESUMPTION_ACCEPTED, .mss = 1448, .rtt_us = 10910}}},
    [PROBE_SAMPLE_V6_UNREACHABLE] =
        {"v6_unreachable", "greet.example.net", .until = PROBE_UNTIL_DIALOGUE, .v6_us = 1210, .v4_us = 1090,
         .verdict = ERR_DEGRADED,
         .text = "1 of 2 addresses failed: [2001:db8:10::25]:6000: no answer within 10 s",
         .rows = {{"2001:db8:10::25", "2001:db8:77::14", "eth0", TIMES(9998790, -1, -1, -1, -1),
                   ERR_CONNECT_TIMEOUT, "no answer within 10 s", .retransmits = 4, .syn_retransmits = 4},
                  {"192.0.2.25", "198.51.100.14", "eth0", TIMES(410, -1, 520, 430, 390), .mss = 1448,
                   .rtt_us = 402}}},
    [PROBE_SAMPLE_CERT_EXPIRED] =
        {"cert_expired", "greet.example.net", .tls = true, .until = PROBE_UNTIL_DIALOGUE, .v6_us = 1840,
         .v4_us = 1790, .verdict = ERR_CERT_EXPIRED,
         .text = "none of 2 addresses is OK; the one that got furthest is [2001:db8:10::25]:6000: the "
                 "certificate expired on 2025-12-29 00:00 UTC, 3 days ago",
         .rows = {{"2001:db8:10::25", "2001:db8:77::14", "eth0", TIMES(8120, 9470, -1, -1, -1),
                   ERR_CERT_EXPIRED, "the certificate expired on 2025-12-29 00:00 UTC, 3 days ago",
                   &expired_tls, .mss = 1428, .rtt_us = 8090},
                  {"192.0.2.25", "198.51.100.14", "eth0", TIMES(7960, 9310, -1, -1, -1), ERR_CERT_EXPIRED,
                   "the certificate expired on 2025-12-29 00:00 UTC, 3 days ago", &expired_tls, .mss = 1448,
                   .rtt_us = 7940}}},
    [PROBE_SAMPLE_NOT_FOUND] = {"not_found", "gret.example.net", .until = PROBE_UNTIL_DIALOGUE, .v6_us = 4120,
                                .v4_us = 3980, .v6_reason = ERR_RESOLVE_NOT_FOUND,
                                .v4_reason = ERR_RESOLVE_NOT_FOUND, .verdict = ERR_RESOLVE_NOT_FOUND,
                                .text = "there is no address for gret.example.net: no such name"},
    [PROBE_SAMPLE_DEGRADED_MIXED] =
        {"degraded_mixed", "greet.example.net", .tls = true, .until = PROBE_UNTIL_DIALOGUE, .v6_us = 2410,
         .v4_us = 3002480, .verdict = ERR_DEGRADED,
         .text = "4 of 5 addresses failed: 192.0.2.25:6000: the peer reset the connection in the TLS "
                 "handshake",
         .rows = {{"2001:db8:ffff:1234:5678:9abc:def0:1234", "2001:db8:77::14", "eth0",
                   TIMES(21400, 43100, 310, 21900, 21500), .tls = &good_tls,
                   .resumption = PROBE_RESUMPTION_REFUSED, .mss = 1428, .rtt_us = 21300},
                  {"2001:db8:10::26", "", "", TIMES(20900, -1, -1, -1, -1), ERR_CONNECT_REFUSED,
                   "connection refused (nothing listens on that port)", .retransmits = 0},
                  {"192.0.2.25", "198.51.100.14", "eth0", TIMES(19800, 22700, -1, -1, -1), ERR_CONNECT_RESET,
                   "the peer reset the connection in the TLS handshake", .mss = 1448, .rtt_us = 19700},
                  {"192.0.2.26", "198.51.100.14", "eth0", TIMES(19900, 20300, -1, -1, -1),
                   ERR_TLS_PLAINTEXT_PEER, "the peer does not use TLS: it sent \"Hello, what is your name\"",
                   .mss = 1448, .rtt_us = 19600},
                  {"192.0.2.27", "198.51.100.14", "eth0", TIMES(20100, 24800, -1, -1, -1), ERR_CERT_NAME,
                   "the certificate is for default.hosting.example, "
                   "*.customers.hosting.example, not for greet.example.net",
                   &other_tls, .mss = 1448, .rtt_us = 19900}}},
    [PROBE_SAMPLE_EIGHT] =
        {"eight", "greet.example.net", .tls = true, .until = PROBE_UNTIL_DIALOGUE, .v6_us = 5210,
         .v4_us = 4870, .verdict = ERR_DEGRADED,
         .text = "2 of 8 addresses failed: 192.0.2.23:6000: the peer sent nothing within 1.5 s",
         .rows = {{"2001:db8:10::21", "2001:db8:77::14", "eth0", TIMES(12100, 25300, 240, 12200, 12150),
                   .tls = &good_tls, .resumption = PROBE_RESUMPTION_ACCEPTED, .mss = 1428, .rtt_us = 12000},
                  {"2001:db8:10::22", "2001:db8:77::14", "eth0", TIMES(1031200, 25100, 240, 12300, 12050),
                   .tls = &good_tls, .resumption = PROBE_RESUMPTION_ACCEPTED, .mss = 1428, .rtt_us = 12100,
                   .retransmits = 1, .syn_retransmits = 1},
                  {"2001:db8:10::23", "2001:db8:77::14", "eth0", TIMES(12300, 25600, 230, 12400, 12250),
                   .tls = &good_tls, .resumption = PROBE_RESUMPTION_ACCEPTED, .mss = 1428, .rtt_us = 12200},
                  {"2001:db8:10::24", "2001:db8:77::14", "eth0", TIMES(12200, 25200, 250, 12300, 12200),
                   .tls = &good_tls, .resumption = PROBE_RESUMPTION_ACCEPTED, .mss = 1428, .rtt_us = 12100},
                  {"192.0.2.21", "198.51.100.14", "eth0", TIMES(11100, 23300, 220, 11200, 11100),
                   .tls = &good_tls, .resumption = PROBE_RESUMPTION_ACCEPTED, .mss = 1448, .rtt_us = 11000},
                  {"192.0.2.22", "198.51.100.14", "eth0", TIMES(11200, 23700, -1, -1, -1), ERR_CERT_NAME,
                   "the certificate is for default.hosting.example, "
                   "*.customers.hosting.example, not for greet.example.net",
                   &other_tls, .mss = 1448, .rtt_us = 11100},
                  {"192.0.2.23", "198.51.100.14", "eth0", TIMES(11300, 23600, 1500000, -1, -1),
                   ERR_DIALOGUE_TIMEOUT, "the peer sent nothing within 1.5 s", &good_tls,
                   PROBE_RESUMPTION_NO_TICKET, .mss = 1448, .rtt_us = 11200},
                  {"192.0.2.24", "198.51.100.14", "eth0", TIMES(11000, 23100, 230, 11100, 11050),
                   .tls = &good_tls, .resumption = PROBE_RESUMPTION_ACCEPTED, .mss = 1448, .rtt_us = 10900}}},
    [PROBE_SAMPLE_LITERAL] = {"literal", "::1", .literal = true, .until = PROBE_UNTIL_CONNECT,
                              .rows = {{"::1", "::1", "lo", TIMES(47, -1, -1, -1, -1), .mss = 32741,
                                        .rtt_us = 18}}},
    [PROBE_SAMPLE_VOLUME] = {"volume", "greet.example.net", .until = PROBE_UNTIL_DIALOGUE, .v6_us = -1,
                             .v4_us = 1930, .verdict = ERR_DIALOGUE_TIMEOUT,
                             .text =
                                 "192.0.2.25:6000: it answered 65536 of 1048576 bytes, then nothing for 5 s",
                             .rows = {{"192.0.2.25",
                                       "198.51.100.14",
                                       "wg0",
                                       {-1, 18200, -1, -1, 18900, 18400, 18300, 5120400},
                                       ERR_DIALOGUE_TIMEOUT,
                                       "it answered 65536 of 1048576 bytes, then nothing for 5 s",
                                       .mss = 1388,
                                       .rtt_us = 18100,
                                       .retransmits = 7}}},
    [PROBE_SAMPLE_THRESHOLD] =
        {"threshold", "greet.example.net", .tls = true, .until = PROBE_UNTIL_TLS, .v6_us = 3140,
         .v4_us = 2870, .v6_reason = ERR_RESOLVE_NOT_FOUND, .verdict = ERR_THRESHOLD,
         .text = "the certificate is valid for 42 days more, --expect-days asks for 60",
         .rows = {{"192.0.2.25", "198.51.100.14", "eth0", TIMES(10940, 23760, -1, -1, -1), .tls = &good_tls,
                   .resumption = PROBE_RESUMPTION_NO_TICKET, .mss = 1448, .rtt_us = 10910}}},
    [PROBE_SAMPLE_NO_IPV6] = {"no_ipv6", "localhost", .until = PROBE_UNTIL_DIALOGUE, .v6_us = 312,
                              .v4_us = 298,
                              .rows = {{"::1", "", "", TIMES(58, -1, -1, -1, -1), ERR_CONNECT_UNREACHABLE,
                                        "IPv6 is switched off on this machine", .reach = REACH_SWITCHED_OFF},
                                       {"127.0.0.1", "127.0.0.1", "lo", TIMES(44, -1, 131, 88, 57),
                                        .mss = 32768, .rtt_us = 19}}},
    [PROBE_SAMPLE_CROWD] = {"crowd", "pool.example.net", .until = PROBE_UNTIL_DIALOGUE, .v6_us = 8210,
                            .v4_us = 9120, .verdict = ERR_DEGRADED,
                            .text = "12 of 128 addresses failed: [2001:db8:10::a]:6000: connection "
                                    "refused (nothing listens on that port)"},
};

static struct endpoint endpoint_of(const char *text, uint16_t port)
{
    struct endpoint endpoint = {0};

    if (strchr(text, ':') != NULL && inet_pton(AF_INET6, text, &endpoint.address.v6.sin6_addr) == 1)
        endpoint.address.any.sa_family = AF_INET6;
    else if (inet_pton(AF_INET, text, &endpoint.address.v4.sin_addr) == 1)
        endpoint.address.any.sa_family = AF_INET;
    else
        return (struct endpoint){0};
    endpoint_set_port(&endpoint, port);
    return endpoint;
}

/* Phases follow one another from where the resolver answered. */
static void fill_address(struct probe_address *address, const struct row *row, const struct sample *sample,
                         uint16_t local_port)
{
    bool v6 = strchr(row->peer, ':') != NULL;
    int64_t now_ns = (v6 ? sample->v6_us : sample->v4_us) * US;

    address->peer = endpoint_of(row->peer, PORT);
    address->local = endpoint_of(row->local, local_port);
    (void)snprintf(address->interface, sizeof(address->interface), "%s", row->interface);
    address->spans[PROBE_RESOLVE] = (struct probe_span){0, now_ns};
    for (int phase = PROBE_CONNECT; phase < PROBE_PHASES; phase++) {
        address->spans[phase] = (struct probe_span){-1, -1};
        if (row->us[phase] < 0)
            continue;
        address->spans[phase] = (struct probe_span){now_ns, now_ns + row->us[phase] * US};
        now_ns += row->us[phase] * US;
        address->last = (enum probe_phase)phase;
    }
    if (sample->literal)
        address->spans[PROBE_RESOLVE] = (struct probe_span){-1, -1};
    address->reach = row->reach;
    if (row->reason != ERR_OK)
        err_set(&address->err, row->reason, 0, "%s", row->why);
    address->tcp = (struct tcp_facts){true, row->mss, row->rtt_us, row->retransmits, row->syn_retransmits};
    if (row->tls != NULL)
        address->tls = *row->tls;
    address->resumption = row->resumption;
    if (row->us[PROBE_VOLUME] >= 0)
        address->volume = (struct probe_volume){211, UINT64_C(1) << 20, UINT64_C(1) << 16};
}

static void fill_answer(struct probe_answer *answer, int64_t us, enum err_reason reason, size_t count,
                        const char *host)
{
    *answer = (struct probe_answer){.asked = us > 0, .count = count, .span = {us > 0 ? 0 : -1, us * US}};
    if (us <= 0)
        answer->span = (struct probe_span){-1, -1};
    if (reason != ERR_OK)
        err_set(&answer->err, reason, 0, "there is no address for %s: no such name", host);
}

/* A race with 250 ms between two starts, families in turn, where the first to connect wins. */
static void fill_attempts(struct probe_result *result)
{
    size_t next[RACE_FAMILIES] = {0, result->answers[RACE_V6].count};
    size_t end[RACE_FAMILIES] = {result->answers[RACE_V6].count, result->address_count};
    int64_t start_ns = 0;
    int64_t won_ns = INT64_MAX;

    for (size_t i = 0; next[RACE_V6] < end[RACE_V6] || next[RACE_V4] < end[RACE_V4]; i++) {
        size_t family = (i + (next[i % 2] >= end[i % 2])) % 2;
        size_t index = next[family]++;
        const struct probe_address *address = &result->addresses[index];
        int64_t took_ns = address->spans[PROBE_CONNECT].end_ns - address->spans[PROBE_CONNECT].begin_ns;
        bool connects = address->last > PROBE_CONNECT || address->err.reason == ERR_OK;
        if (start_ns >= won_ns)
            break;
        result->attempts[result->attempt_count++] =
            (struct probe_attempt){index, start_ns, start_ns + took_ns, false};
        if (connects && start_ns + took_ns < won_ns)
            won_ns = start_ns + took_ns;
        start_ns += connects || took_ns > 250000 * US ? 250000 * US : took_ns;
    }
    for (size_t i = 0; i < result->attempt_count; i++) {
        struct probe_attempt *attempt = &result->attempts[i];
        attempt->won = attempt->end_ns == won_ns;
        if (attempt->end_ns > won_ns)
            attempt->end_ns = -1;
    }
}

static const struct row *crowd_row(size_t i, struct row *row, char peer[64])
{
    (void)snprintf(peer, 64, i < RACE_ENDPOINTS_PER_FAMILY ? "2001:db8:10::%zx" : "192.0.2.%zu", i + 1);
    *row = (struct row){peer, "", "", TIMES(9000 + 37 * (int64_t)i, -1, 400, 9100, 9000), .mss = 1448};
    if (i % 10 == 9)
        *row = (struct row){peer,
                            "",
                            "",
                            TIMES(9000, -1, -1, -1, -1),
                            ERR_CONNECT_REFUSED,
                            "connection refused (nothing listens on that port)",
                            .retransmits = 0};
    return row;
}

static void fill_addresses(struct probe_result *result, enum probe_sample which)
{
    const struct sample *sample = &samples[which];
    size_t count = which == PROBE_SAMPLE_CROWD ? PROBE_ADDRESSES_MAX : 0;
    struct row row;
    char peer[64];

    while (which != PROBE_SAMPLE_CROWD && count < 8 && sample->rows[count].peer != NULL)
        count++;
    result->addresses = calloc(count > 0 ? count : 1, sizeof(*result->addresses));
    if (result->addresses == NULL)
        abort();
    result->address_count = count;
    for (size_t i = 0; i < count; i++)
        fill_address(&result->addresses[i],
                     which == PROBE_SAMPLE_CROWD ? crowd_row(i, &row, peer) : &sample->rows[i], sample,
                     (uint16_t)(53500 + i));
}

const char *probe_sample_name(enum probe_sample which)
{
    return samples[which].name;
}

void probe_sample_make(enum probe_sample which, struct probe_result *result)
{
    const struct sample *sample = &samples[which];
    size_t v6 = 0;

    *result = (struct probe_result){
        .literal = sample->literal, .tls = sample->tls, .until = sample->until, .started_s = STARTED_S};
    (void)snprintf(result->host, sizeof(result->host), "%s", sample->host);
    (void)snprintf(result->target, sizeof(result->target),
                   strchr(sample->host, ':') != NULL ? "[%s]:%d" : "%s:%d", sample->host, PORT);
    fill_addresses(result, which);
    for (size_t i = 0; i < result->address_count; i++) {
        v6 += endpoint_family(&result->addresses[i].peer) == AF_INET6;
        for (int phase = 0; phase < PROBE_PHASES; phase++)
            if (result->addresses[i].spans[phase].end_ns > result->total_ns)
                result->total_ns = result->addresses[i].spans[phase].end_ns;
    }
    fill_answer(&result->answers[RACE_V6], sample->v6_us, sample->v6_reason, v6, sample->host);
    fill_answer(&result->answers[RACE_V4], sample->v4_us, sample->v4_reason, result->address_count - v6,
                sample->host);
    if (result->total_ns == 0)
        result->total_ns = (sample->v6_us > sample->v4_us ? sample->v6_us : sample->v4_us) * US;
    fill_attempts(result);
    if (sample->verdict != ERR_OK)
        err_set(&result->verdict, sample->verdict, 0, "%s", sample->text);
}
