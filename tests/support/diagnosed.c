#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "support/diagnosed.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "probe/report.h"

#define MS INT64_C(1000000)

enum { PORT = 6000, STARTED_S = 1767225600, DAY_S = 24 * 60 * 60, CONNECT_MS = 20 };

static struct endpoint endpoint_of(const char *text)
{
    struct endpoint endpoint = {0};
    bool v6 = strchr(text, ':') != NULL;
    endpoint.address.any.sa_family = v6 ? AF_INET6 : AF_INET;
    assert_int_equal(v6 ? inet_pton(AF_INET6, text, &endpoint.address.v6.sin6_addr)
                        : inet_pton(AF_INET, text, &endpoint.address.v4.sin_addr),
                     1);
    endpoint_set_port(&endpoint, PORT);
    return endpoint;
}

static struct stream_tls_facts facts_of(enum diagnosed_shown shown)
{
    static const struct {
        int from_days, until_days;
        const char *subject, *issuer, *pin;
        const char *chain[2];
    } certificates[] = {
        [SHOWN_GOOD] = {-48, 42, HOST, "Issuing CA", "600d000000000000", {HOST, "Issuing CA"}},
        [SHOWN_OLDER] = {-60, 30, HOST, "Issuing CA", "0lder00000000000", {HOST, "Issuing CA"}},
        [SHOWN_ENDED] = {-93, -3, HOST, "Issuing CA", "e0ded00000000000", {HOST, "Issuing CA"}},
        [SHOWN_EARLY] = {2, 90, HOST, "Issuing CA", "ea71700000000000", {HOST, "Issuing CA"}},
        [SHOWN_ALONE] = {-48, 42, HOST, "Issuing CA", "a10ne00000000000", {HOST}},
        [SHOWN_CHAINED] = {-48, 42, HOST, "Issuing CA", "c4a1n00000000000", {HOST, "Issuing CA"}},
        [SHOWN_SELF] = {-48, 42, HOST, HOST, "5e1f000000000000", {HOST}},
        [SHOWN_OTHER_NAME] = {-48,
                              42,
                              "other.example, www.other.example",
                              "Issuing CA",
                              "07e8000000000000",
                              {"other.example", "Issuing CA"}},
        [SHOWN_CN_ONLY] = {-48, 42, HOST, "Issuing CA", "c000000000000000", {HOST, "Issuing CA"}},
        [SHOWN_ENDING] = {-85, 5, HOST, "Issuing CA", "e0d1400000000000", {HOST, "Issuing CA"}},
        [SHOWN_SHORT_LIVED] = {-1, 6, HOST, "Issuing CA", "5047700000000000", {HOST, "Issuing CA"}},
    };
    struct stream_tls_facts facts = {0};
    if (shown == SHOWN_NONE)
        return facts;
    snprintf(facts.subject, sizeof facts.subject, "%s", certificates[shown].subject);
    snprintf(facts.issuer, sizeof facts.issuer, "%s", certificates[shown].issuer);
    snprintf(facts.pin, sizeof facts.pin, "%s", certificates[shown].pin);
    facts.nameless = shown == SHOWN_CN_ONLY;
    facts.not_before = STARTED_S + (int64_t)certificates[shown].from_days * DAY_S;
    facts.not_after = STARTED_S + (int64_t)certificates[shown].until_days * DAY_S;
    for (size_t i = 0; i < 2 && certificates[shown].chain[i] != NULL; i++, facts.chain_count++)
        snprintf(facts.chain[i], sizeof facts.chain[i], "%s", certificates[shown].chain[i]);
    return facts;
}

static void make_address(struct probe_address *address, const struct diagnosed_address *one)
{
    *address = (struct probe_address){.peer = endpoint_of(one->peer), .last = one->last};
    if (one->port != 0)
        endpoint_set_port(&address->peer, one->port);
    for (size_t phase = 0; phase < PROBE_PHASES; phase++)
        address->spans[phase] = (struct probe_span){-1, -1};
    for (int64_t phase = PROBE_RESOLVE; phase <= (int64_t)one->last; phase++)
        address->spans[phase] = (struct probe_span){phase * CONNECT_MS * MS, (phase + 1) * CONNECT_MS * MS};
    if (one->last != PROBE_STARTTLS && !one->starttls)
        address->spans[PROBE_STARTTLS] = (struct probe_span){-1, -1};
    address->spans[one->last].end_ns += one->waited_ms * MS;
    address->reach = one->reach;
    if (one->reach == REACH_OPEN)
        address->local = endpoint_of(strchr(one->peer, ':') != NULL ? "2001:db8:77::1" : "198.51.100.1");
    struct err_facts facts = {.detail = one->detail,
                              .native = one->native,
                              .alert = one->alert,
                              .depth = one->depth,
                              .name = one->name};
    if (one->received != NULL)
        facts.received = (struct bytes){one->received, strlen(one->received)};
    if (one->reason != ERR_OK)
        err_set_facts(&address->err, one->reason, &facts, "%s", one->text);
    address->tls = facts_of(one->shown);
    address->tls.trusted = one->reason == ERR_OK;
    address->peer_is = one->peer_is;
    address->is_certificate_requested = one->is_certificate_requested;
    address->tcp =
        (struct tcp_facts){.known = true, .retransmits = one->again, .syn_retransmits = one->syn_again};
}

static void make_answer(struct probe_answer *answer, bool asked, int64_t ms, enum err_reason reason,
                        size_t count)
{
    *answer = (struct probe_answer){
        .asked = asked, .count = count, .span = {asked ? 0 : -1, ms < 0 ? -1 : ms * MS}};
    if (!asked)
        answer->span = (struct probe_span){-1, -1};
    if (reason != ERR_OK)
        err_set(&answer->err, reason, 0, "why");
}

void diagnosed_make(struct probe_result *result, const struct diagnosed_row *row)
{
    size_t v6 = 0;
    *result = (struct probe_result){.host = HOST,
                                    .target = HOST ":6000",
                                    .tls = row->tls,
                                    .until = row->until != 0 ? row->until : PROBE_UNTIL_DIALOGUE,
                                    .sends_header = row->sends_header,
                                    .started_s = STARTED_S};
    if (row->host != NULL)
        snprintf(result->host, sizeof result->host, "%s", row->host);
    if (row->through_proxy) {
        snprintf(result->proxy, sizeof result->proxy, "http://proxy.example:3128");
        snprintf(result->proxy_host, sizeof result->proxy_host, "proxy.example");
    }
    result->addresses = calloc(DIAGNOSED_ADDRESSES_MAX, sizeof *result->addresses);
    assert_non_null(result->addresses);
    for (size_t i = 0; i < DIAGNOSED_ADDRESSES_MAX && row->all[i].peer != NULL; i++) {
        make_address(&result->addresses[i], &row->all[i]);
        v6 += endpoint_family(&result->addresses[i].peer) == AF_INET6;
        result->address_count++;
    }
    make_answer(&result->answers[RACE_V6], !row->only_v4, row->v6_ms, row->v6, v6);
    make_answer(&result->answers[RACE_V4], !row->only_v6, row->v4_ms, row->v4, result->address_count - v6);
    result->answers[RACE_V6].only_in_hosts = row->v6_not_in_hosts;
}

static void expect_printable(const struct probe_finding *finding)
{
    size_t length = strlen(finding->text);
    assert_in_range(length, 20, PROBE_SENTENCE_BYTES - 1);
    for (size_t i = 0; i < length; i++)
        if ((unsigned char)finding->text[i] < ' ')
            fail_msg("%s: a control at %zu: %s", finding->word, i, finding->text);
    if (finding->text[length - 1] != '.' && finding->text[length - 1] != '?' &&
        finding->text[length - 1] != ')')
        fail_msg("%s: no end: %s", finding->word, finding->text);
}

static void expect_remark(const struct diagnosed_row *row, const struct probe_result *result)
{
    struct probe_finding remarks[PROBE_REMARKS_MAX];
    size_t count = probe_remarks(result, remarks);

    if (count != (row->remark != NULL) || (count > 0 && strstr(remarks[0].text, row->remark) == NULL))
        fail_msg("%s: %zu remarks: %s", row->fault, count, count > 0 ? remarks[0].text : "");
    if (count > 0)
        expect_printable(&remarks[0]);
}

void diagnosed_expect(const struct diagnosed_row *rows, size_t rows_count)
{
    for (size_t i = 0; i < rows_count; i++) {
        struct probe_finding findings[PROBE_FINDINGS_MAX];
        struct probe_result result;
        diagnosed_make(&result, &rows[i]);
        size_t count = probe_diagnose(&result, findings);
        for (size_t j = 0; j < count; j++) {
            const char *word = j < DIAGNOSED_WORDS_MAX ? rows[i].findings[j].word : NULL;
            if (word == NULL || strcmp(findings[j].word, word) != 0 ||
                strstr(findings[j].text, rows[i].findings[j].sentence) == NULL)
                fail_msg("%s: %s: %s", rows[i].fault, findings[j].word, findings[j].text);
            expect_printable(&findings[j]);
        }
        if (count < DIAGNOSED_WORDS_MAX && rows[i].findings[count].word != NULL)
            fail_msg("%s: not a word of %s", rows[i].fault, rows[i].findings[count].word);
        expect_remark(&rows[i], &result);
        probe_result_fini(&result);
    }
}
