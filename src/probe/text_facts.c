#include <string.h>

#include "bars.h"
#include "phrases.h"
#include "text_facts.h"

enum { SHOWN_MAX = 8, INDENT = 4, HANGING = 6 };

typedef void phrase_fn(const struct probe_address *address, struct text_line *line);

static void put_fact(const struct probe_page *page, phrase_fn *phrase, const struct probe_address *address)
{
    struct text_line line = {0};
    phrase(address, &line);
    probe_page_wrap(page, INDENT, HANGING, PROBE_PLAIN, line.text);
}

static void put_address(const struct probe_page *page, const struct probe_row *row)
{
    const struct probe_address *address = row->address;
    struct text_line line = {0};

    text_append(&line, "%s: %s", row->label,
                row->reason == ERR_OK          ? "OK"
                : address->err.text[0] != '\0' ? address->err.text
                                               : err_word(row->reason));
    probe_page_wrap(page, 0, 2, row->reason == ERR_OK ? PROBE_HEAD : PROBE_BAD, line.text);
    line = (struct text_line){0};
    probe_phrase_phases(row, &line);
    probe_page_wrap(page, INDENT, HANGING, PROBE_PLAIN, line.text);
    put_fact(page, probe_phrase_path, address);
    put_fact(page, probe_phrase_tls, address);
    put_fact(page, probe_phrase_resumption, address);
    put_fact(page, probe_phrase_volume, address);
}

/* Beside a failure: an address that is OK and has lost segments, for that is where its time went. What does
 * not count has a remark. */
static bool is_remarkable(const struct probe_result *result, const struct probe_address *address)
{
    bool failed = address->err.reason != ERR_OK && probe_result_counts(result, address);
    return failed || (address->tcp.known && address->tcp.retransmits > 0);
}

void probe_text_facts(const struct probe_page *page, const struct probe_result *result)
{
    size_t shown = 0;
    size_t left_out = 0;
    struct probe_row row;

    for (size_t i = 0; i < probe_row_count(result); i++) {
        probe_row_fill(result, i, &row);
        if (row.address == NULL || !(page->style->verbose || is_remarkable(result, row.address)))
            continue;
        if (shown >= SHOWN_MAX && !page->style->verbose) {
            left_out++;
            continue;
        }
        if (shown++ == 0)
            (void)fputc('\n', page->out);
        put_address(page, &row);
    }
    if (left_out > 0) {
        struct text_line line = {0};
        text_append(&line, "%zu more; -v shows each", left_out);
        probe_page_wrap(page, 0, 2, PROBE_FAINT, line.text);
    }
}

/* What the handshakes agreed upon, once, where it is the same everywhere and is not shown with each already.
 */
static void put_agreed(const struct probe_page *page, const struct probe_result *result)
{
    struct text_line agreed = {0};
    size_t left_out = 0;

    for (size_t i = 0; i < result->address_count; i++) {
        struct text_line line = {0};
        probe_phrase_tls(&result->addresses[i], &line);
        if (line.length == 0)
            continue;
        if (result->addresses[i].resumption != PROBE_RESUMPTION_UNTRIED)
            text_append(&line, "; ");
        probe_phrase_resumption(&result->addresses[i], &line);
        if (agreed.length > 0 && strcmp(line.text, agreed.text) != 0)
            return;
        agreed = line;
        left_out += !is_remarkable(result, &result->addresses[i]);
    }
    if (left_out > 0) {
        (void)fputc('\n', page->out);
        probe_page_wrap(page, 0, 2, PROBE_PLAIN, agreed.text);
    }
}

static bool has_certificate(const struct probe_address *address)
{
    return address->tls.chain_count > 0;
}

static bool same_certificate(const struct stream_tls_facts *a, const struct stream_tls_facts *b)
{
    return strcmp(a->pin, b->pin) == 0 && strcmp(a->subject, b->subject) == 0 &&
           strcmp(a->issuer, b->issuer) == 0 && a->not_before == b->not_before &&
           a->not_after == b->not_after && strcmp(a->expires_first, b->expires_first) == 0 &&
           strcmp(a->ocsp, b->ocsp) == 0 && a->expires_first_at == b->expires_first_at &&
           a->chain_count == b->chain_count && strcmp(a->distrust, b->distrust) == 0;
}

/* Whether no address before this one has shown its certificate. */
static bool is_first(const struct probe_result *result, size_t index)
{
    for (size_t i = 0; i < index; i++)
        if (has_certificate(&result->addresses[i]) &&
            same_certificate(&result->addresses[i].tls, &result->addresses[index].tls))
            return false;
    return true;
}

/* Who has shown it: "every address", or which. */
static void add_holders(const struct probe_result *result, size_t index, struct text_line *line)
{
    size_t holders = 0;
    char peer[ENDPOINT_TEXT_BYTES];

    for (size_t i = index; i < result->address_count; i++)
        holders += has_certificate(&result->addresses[i]) &&
                   same_certificate(&result->addresses[i].tls, &result->addresses[index].tls);
    if (holders == result->address_count && holders > 1) {
        text_append(line, "every address");
        return;
    }
    text_append(line, "%s", endpoint_format(&result->addresses[index].peer, peer));
    size_t named = 1;
    for (size_t i = index + 1; i < result->address_count && named < SHOWN_MAX; i++)
        if (has_certificate(&result->addresses[i]) &&
            same_certificate(&result->addresses[i].tls, &result->addresses[index].tls)) {
            text_append(line, ", %s", endpoint_format(&result->addresses[i].peer, peer));
            named++;
        }
    if (holders > named)
        text_append(line, " and %zu more", holders - named);
}

static void put_chain(const struct probe_page *page, const struct stream_tls_facts *facts)
{
    struct text_line line = {0};

    text_append(&line, "chain as sent: ");
    for (size_t i = 0; i < facts->chain_count && i < STREAM_TLS_CHAIN_MAX; i++)
        text_append(&line, "%s%s", i > 0 ? " < " : "", facts->chain[i]);
    if (facts->chain_count > STREAM_TLS_CHAIN_MAX)
        text_append(&line, " < %zu more", facts->chain_count - STREAM_TLS_CHAIN_MAX);
    if (facts->chain_count > 0)
        probe_page_wrap(page, INDENT, HANGING, PROBE_PLAIN, line.text);
}

static void put_certificate(const struct probe_page *page, const struct probe_result *result, size_t index)
{
    const struct stream_tls_facts *facts = &result->addresses[index].tls;
    struct text_line line = {0};

    text_append(&line, "Certificate of ");
    add_holders(result, index, &line);
    probe_page_wrap(page, 0, 2, PROBE_HEAD, line.text);
    line = (struct text_line){0};
    probe_phrase_names(facts, &line);
    probe_page_wrap(page, INDENT, HANGING, PROBE_PLAIN, line.text);
    line = (struct text_line){0};
    probe_phrase_validity(result, facts, &line);
    text_append(&line, ", issued by %s%s%s", facts->issuer[0] != '\0' ? facts->issuer : "no named issuer",
                facts->key[0] != '\0' ? ", " : "", facts->key);
    probe_page_wrap(page, INDENT, HANGING, PROBE_PLAIN, line.text);
    put_chain(page, facts);
    if (facts->expires_first[0] != '\0') {
        line = (struct text_line){0};
        text_append(&line, "expires first: the CA certificate \"%s\", ", facts->expires_first);
        probe_phrase_validity_until(result, facts->expires_first_at, &line);
        probe_page_wrap(page, INDENT, HANGING, PROBE_PLAIN, line.text);
    }
    if (facts->ocsp[0] != '\0') {
        line = (struct text_line){0};
        text_append(&line, "stapled OCSP response: %s", facts->ocsp);
        probe_page_wrap(page, INDENT, HANGING, PROBE_PLAIN, line.text);
    }
    if (facts->pin[0] != '\0') {
        line = (struct text_line){0};
        text_append(&line, "pin sha256:%s", facts->pin);
        probe_page_wrap(page, INDENT, HANGING, PROBE_PLAIN, line.text);
    }
    if (facts->distrust[0] != '\0') {
        line = (struct text_line){0};
        text_append(&line, "not trusted: %s", facts->distrust);
        probe_page_wrap(page, INDENT, HANGING, PROBE_BAD, line.text);
    }
}

void probe_text_certificates(const struct probe_page *page, const struct probe_result *result)
{
    size_t shown = 0;
    size_t left_out = 0;

    if (!page->style->verbose)
        put_agreed(page, result);
    for (size_t i = 0; i < result->address_count; i++) {
        if (!has_certificate(&result->addresses[i]) || !is_first(result, i))
            continue;
        if (shown >= SHOWN_MAX && !page->style->verbose) {
            left_out++;
            continue;
        }
        if (shown++ == 0)
            (void)fputc('\n', page->out);
        put_certificate(page, result, i);
    }
    if (left_out > 0) {
        struct text_line line = {0};
        text_append(&line, "%zu more certificates; -v shows each", left_out);
        probe_page_wrap(page, 0, 2, PROBE_FAINT, line.text);
    }
}
