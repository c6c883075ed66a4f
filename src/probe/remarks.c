#include "diagnosis.h"
#include "plan.h"
#include "report.h"
#include "tcpgreet/core/proxy_header.h"
#include "tcpgreet/tls/tls.h"

static bool is_ok(const struct probe_result *result, const struct probe_address *address)
{
    return address->err.reason == ERR_OK &&
           (result->until < PROBE_UNTIL_DIALOGUE || result->until == PROBE_UNTIL_EXCHANGE);
}

static bool is_closed(const struct probe_result *result, const struct probe_address *address)
{
    return is_ok(result, address) && address->peer_is == PROBE_PEER_CLOSED && address->alert == 0;
}

static bool is_reset(const struct probe_result *result, const struct probe_address *address)
{
    return is_ok(result, address) && address->peer_is == PROBE_PEER_RESET && address->alert == 0;
}

static bool is_refused(const struct probe_result *result, const struct probe_address *address)
{
    return is_ok(result, address) && address->alert != 0;
}

/* TLS, once it is complete, and an answer to STARTTLS are bytes of the peer, too. */
static bool has_sent(const struct probe_result *result, const struct probe_address *address)
{
    return address->first_count > 0 || (result->tls && address->last > PROBE_TLS) ||
           (address->last == PROBE_TLS && address->spans[PROBE_STARTTLS].begin_ns >= 0);
}

static bool may_demand_header(const struct probe_result *result, const struct probe_address *address)
{
    const struct proxy_header_evidence evidence = {.err = &address->err,
                                                   .waited_ns = probe_span_ns(&address->spans[address->last]),
                                                   .has_received = has_sent(result, address)};
    return !result->sends_header && proxy_header_may_be_due(&evidence);
}

static void report_end(const struct probe_group *group, const char *ended, struct text_line *line)
{
    bool is_requested = probe_group_first(group)->is_certificate_requested;

    text_append(
        line, "%s %s the connection at once, without sending data: %s.", probe_group_place(group).text, ended,
        is_requested
            ? "it requested a client certificate and may refuse this client, or the service behind it is down"
            : "a port forwarder whose service is down does so");
}

static void report_closed(const struct probe_group *group, struct text_line *line)
{
    report_end(group, "closed", line);
}

static void report_reset(const struct probe_group *group, struct text_line *line)
{
    report_end(group, "reset", line);
}

static void report_header(const struct probe_group *group, struct text_line *line)
{
    text_append(
        line,
        "%s may expect a PROXY header, as a service behind a load balancer does: it sent nothing, and ended the connection on other bytes or when its time limit expired (to try it: --send-proxy v2).",
        probe_group_place(group).text);
}

static void report_refused(const struct probe_group *group, struct text_line *line)
{
    text_append(line, "%s refused with the TLS alert %s, as expected.", probe_group_place(group).text,
                tls_alert_name(probe_group_first(group)->alert));
}

static const struct {
    const char *word;
    probe_about_fn *is;
    probe_report_fn *report;
} remarks_of_peers[] = {
    {"closed-at-once", is_closed, report_closed},
    {"closed-at-once", is_reset, report_reset},
    {"expected-alert", is_refused, report_refused},
    {"proxy-header", may_demand_header, report_header},
};

static void put(struct probe_finding *remark, const char *word, const struct text_line *line)
{
    remark->word = word;
    (void)snprintf(remark->text, PROBE_SENTENCE_BYTES, "%.*s", PROBE_SENTENCE_BYTES - 1, line->text);
}

size_t probe_remarks(const struct probe_result *result, struct probe_finding remarks[PROBE_REMARKS_MAX])
{
    static const char *const words[] = {[RACE_V6] = "ipv6-unavailable", [RACE_V4] = "ipv4-unavailable"};
    size_t count = 0;

    for (size_t i = 0; i < RACE_FAMILIES; i++) {
        struct text_line line = {0};
        if (probe_remarks_family(result, (enum race_family)i, &line))
            put(&remarks[count++], words[i], &line);
    }
    for (size_t i = 0; i < sizeof remarks_of_peers / sizeof remarks_of_peers[0]; i++) {
        struct probe_group group = {.result = result};
        struct text_line line = {0};
        for (size_t j = 0; j < result->address_count && j < PROBE_ADDRESSES_MAX; j++)
            group.index[group.count++] = j;
        probe_group_keep(&group, remarks_of_peers[i].is);
        if (group.count == 0)
            continue;
        remarks_of_peers[i].report(&group, &line);
        put(&remarks[count++], remarks_of_peers[i].word, &line);
    }
    return count;
}
