#include "record.h"

#include <string.h>
#include <sys/socket.h>

void probe_record_interface(struct probe_address *record, struct tcp_interfaces *interfaces)
{
    if (endpoint_family(&record->local) != AF_UNSPEC && record->interface[0] == '\0')
        tcp_interfaces_name(interfaces, &record->local, record->interface, sizeof record->interface);
}

void probe_record_first(struct probe_address *record, struct bytes bytes)
{
    size_t room = sizeof record->first - record->first_count;
    size_t count = bytes.length < room ? bytes.length : room;

    if (count > 0)
        memcpy(record->first + record->first_count, bytes.data, count);
    record->first_count += count;
}

void probe_record_timeout(struct probe_address *record, int fd, int64_t limit_ms, struct err *err)
{
    double limit_s = (double)limit_ms / 1000;

    if (!tcp_facts_read(fd, true, &record->tcp))
        err_set(err, ERR_CONNECT_TIMEOUT, 0, "no answer within %g s", limit_s);
    else if (record->tcp.syn_retransmits == 0)
        err_set(err, ERR_CONNECT_TIMEOUT, 0, "no answer within %g s, the SYN was sent once", limit_s);
    else
        err_set(err, ERR_CONNECT_TIMEOUT, 0, "no answer within %g s, the SYN was sent %u times", limit_s,
                record->tcp.syn_retransmits + 1);
}

void probe_record_listened(struct probe_address *record, int64_t first_ns, int64_t now_ns)
{
    if (record->last != PROBE_WELCOME)
        return;
    record->listened_ns = now_ns;
    record->spans[PROBE_WELCOME].end_ns = first_ns;
    if (record->peer_is == PROBE_PEER_SILENT) {
        record->spans[PROBE_WELCOME] = (struct probe_span){-1, -1};
        while (record->last > PROBE_CONNECT && record->spans[record->last].begin_ns < 0)
            record->last = (enum probe_phase)(record->last - 1);
    }
}

void probe_record_interrupted(struct probe_address *record, const struct err *met, struct bytes in,
                              struct err *err)
{
    struct err_facts facts = {.awaited = met->reason, .detail = met->detail, .received = err_received(met)};

    if (record->last == PROBE_EXCHANGE)
        probe_record_first(record, in);
    if (record->last >= PROBE_WELCOME)
        facts.received = record->last == PROBE_WELCOME ? probe_address_first(record) : in;
    err_set_facts(err, ERR_INTERRUPTED, &facts, "interrupted before it was done");
}
