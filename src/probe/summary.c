#include "summary.h"

#include <stdlib.h>
#include <string.h>

#include "measures.h"
#include "tcpgreet/format/text.h"

/* How bad a round is; a greater number is worse. */
static int rank(enum err_reason reason)
{
    switch (reason) {
    case ERR_OK:
        return 0;
    case ERR_THRESHOLD:
        return 1;
    case ERR_DEGRADED:
        return 2;
    default:
        return 3;
    }
}

/* Whether the name service has answered. */
static bool has_answered(const struct probe_answer *answer)
{
    return answer->asked && (answer->count > 0 || answer->err.reason == ERR_RESOLVE_NOT_FOUND);
}

static bool holds(const struct endpoint *endpoints, size_t count, const struct endpoint *endpoint)
{
    for (size_t i = 0; i < count; i++)
        if (endpoint_equal(&endpoints[i], endpoint))
            return true;
    return false;
}

static bool result_holds(const struct probe_result *result, const struct endpoint *endpoint)
{
    for (size_t i = 0; i < result->address_count; i++)
        if (endpoint_equal(&result->addresses[i].peer, endpoint))
            return true;
    return false;
}

static enum race_family family_of(const struct endpoint *endpoint)
{
    return endpoint_family(endpoint) == AF_INET6 ? RACE_V6 : RACE_V4;
}

static void add_change(struct text_line *line, const char *lead, size_t before,
                       const struct endpoint *endpoint)
{
    char text[ENDPOINT_TEXT_BYTES];
    text_append(line, "%s%s", before == 0 ? lead : ", ", endpoint_format(endpoint, text));
}

bool probe_summary_changes(const struct probe_summary *summary, const struct probe_result *result,
                           char text[PROBE_SENTENCE_BYTES])
{
    struct text_line line = {0};
    size_t came = 0;
    size_t went = 0;

    for (size_t i = 0; i < result->address_count; i++) {
        const struct endpoint *peer = &result->addresses[i].peer;
        enum race_family family = family_of(peer);
        if (summary->answered[family] && has_answered(&result->answers[family]) &&
            !holds(summary->known, summary->known_count, peer))
            add_change(&line, "now also ", came++, peer);
    }
    for (size_t i = 0; i < summary->known_count; i++) {
        const struct endpoint *peer = &summary->known[i];
        if (has_answered(&result->answers[family_of(peer)]) && !result_holds(result, peer))
            add_change(&line, came > 0 ? ", no longer " : "no longer ", went++, peer);
    }
    text_cut(line.text, PROBE_SENTENCE_BYTES - 1);
    (void)snprintf(text, PROBE_SENTENCE_BYTES, "%.*s", PROBE_SENTENCE_BYTES - 1, line.text);
    return came + went > 0;
}

/* What is known of a family stays, where the name service has not answered for it. */
static void remember(struct probe_summary *summary, const struct probe_result *result)
{
    size_t kept = 0;

    for (size_t i = 0; i < summary->known_count; i++)
        if (!has_answered(&result->answers[family_of(&summary->known[i])]))
            summary->known[kept++] = summary->known[i];
    summary->known_count = kept;
    for (size_t i = 0; i < result->address_count; i++) {
        const struct endpoint *peer = &result->addresses[i].peer;
        if (has_answered(&result->answers[family_of(peer)]) && summary->known_count < PROBE_ADDRESSES_MAX)
            summary->known[summary->known_count++] = *peer;
    }
    for (size_t family = 0; family < RACE_FAMILIES; family++)
        summary->answered[family] = summary->answered[family] || has_answered(&result->answers[family]);
}

/* Returns: the address's row, made where there is none; NULL with err without memory, NULL where all are
 * taken. */
static struct probe_summary_row *row_of(struct probe_summary *summary, const struct endpoint *peer,
                                        struct err *err)
{
    for (size_t i = 0; i < summary->row_count; i++)
        if (endpoint_equal(&summary->rows[i]->peer, peer))
            return summary->rows[i];
    if (summary->row_count == PROBE_SUMMARY_ROWS_MAX)
        return NULL;
    struct probe_summary_row *row =
        calloc(1, sizeof(*row)); /* pages that are never counted in cost nothing */
    if (row == NULL) {
        err_set(err, ERR_INTERNAL, 0, "no memory for the summary of one more address");
        return NULL;
    }
    row->peer = *peer;
    summary->rows[summary->row_count++] = row;
    return row;
}

static int add_address(struct probe_summary *summary, const struct probe_address *address, struct err *err)
{
    struct err mine = {0};
    struct probe_summary_row *row = row_of(summary, &address->peer, &mine);
    int64_t total_ns = probe_time_ns(address, PROBE_TOTAL);
    int64_t connect_ns = probe_time_ns(address, PROBE_CONNECT);

    if (mine.reason != ERR_OK) {
        *err = mine;
        return -1;
    }
    if (row == NULL) {
        summary->uncounted++;
        return 0;
    }
    row->rounds++;
    row->reasons[address->err.reason]++;
    if (total_ns >= 0)
        histogram_record(&row->total, total_ns);
    if (connect_ns >= 0)
        histogram_record(&row->connect, connect_ns);
    return 0;
}

int probe_summary_add(struct probe_summary *summary, const struct probe_result *result, struct err *err)
{
    struct probe_finding remarks[PROBE_REMARKS_MAX];

    if (summary->rounds++ == 0) {
        memcpy(summary->target, result->target, sizeof(summary->target));
        summary->first_s = result->started_s;
    }
    summary->last_s = result->started_s;
    summary->ok += result->verdict.reason == ERR_OK;
    summary->nameless += result->address_count == 0;
    if (rank(result->verdict.reason) > rank(summary->worst.reason))
        summary->worst = result->verdict;
    remember(summary, result);
    size_t remark_count = probe_remarks(result, remarks);
    if (remark_count > 0) {
        memcpy(summary->remarks, remarks, sizeof(remarks));
        summary->remark_count = remark_count;
    }
    for (size_t i = 0; i < result->address_count; i++)
        if (probe_result_counts(result, &result->addresses[i]) &&
            add_address(summary, &result->addresses[i], err) < 0)
            return -1;
    return 0;
}

uint64_t probe_summary_failed(const struct probe_summary_row *row)
{
    return row->rounds - row->reasons[ERR_OK];
}

enum err_reason probe_summary_reason(const struct probe_summary_row *row)
{
    size_t most = ERR_OK;

    for (size_t i = 0; i < ERR_REASON_COUNT; i++)
        if (i != ERR_OK && row->reasons[i] > (most == ERR_OK ? 0 : row->reasons[most]))
            most = i;
    return (enum err_reason)most;
}

void probe_summary_fini(struct probe_summary *summary)
{
    for (size_t i = 0; i < summary->row_count; i++)
        free(summary->rows[i]);
    summary->row_count = 0;
}
