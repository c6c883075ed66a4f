#include "page.h"

#include "phrases.h"
#include "text_facts.h"
#include "text_waterfall.h"

static void put_head(const struct probe_page *page, const struct probe_result *result)
{
    struct text_line head = {0};
    struct text_line answers = {0};

    probe_phrase_target(result, &head);
    text_append(&head, ": ");
    probe_phrase_verdict(result, &head);
    probe_page_wrap(page, 0, 2, probe_page_verdict(result->verdict.reason), head.text);
    probe_phrase_answers(result, &answers);
    probe_page_wrap(page, 0, 2, PROBE_PLAIN, answers.text);
}

static void put_race(const struct probe_page *page, const struct probe_result *result)
{
    struct text_line race = {0};

    probe_phrase_race(result, &race);
    if (race.length == 0)
        return;
    (void)fputc('\n', page->out);
    probe_page_wrap(page, 0, 2, PROBE_PLAIN, race.text);
}

static void put_end(const struct probe_page *page, const struct probe_result *result)
{
    struct probe_finding findings[PROBE_FINDINGS_MAX], remarks[PROBE_REMARKS_MAX];
    size_t count = probe_diagnose(result, findings);
    size_t remark_count = probe_remarks(result, remarks);
    struct text_line line = {0}, last = {0};

    (void)fputc('\n', page->out);
    for (size_t i = 0; i < count; i++) {
        line = (struct text_line){0};
        text_append(&line, "- %s", findings[i].text);
        probe_page_wrap(page, 0, 2, PROBE_PLAIN, line.text);
    }
    for (size_t i = 0; i < remark_count; i++)
        probe_page_wrap(page, 0, 2, PROBE_PLAIN, remarks[i].text);
    probe_phrase_last(result, count, &last);
    probe_page_wrap(page, 0, 2, probe_page_verdict(result->verdict.reason), last.text);
}

void probe_report_text(const struct probe_result *result, const struct probe_style *style, FILE *out)
{
    struct probe_page page = {out, style, probe_page_columns(style)};

    put_head(&page, result);
    probe_text_waterfall(&page, result);
    probe_text_facts(&page, result);
    probe_text_certificates(&page, result);
    put_race(&page, result);
    put_end(&page, result);
}
