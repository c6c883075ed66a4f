#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fuzz/fuzz.h"
#include "tcpgreet/probe/threshold.h"

enum { INPUT_MAX = 1024 };

static bool near(double a, double b)
{
    return a == b || fabs(a - b) <= 1e-8 * fabs(a);
}

/* What is written of a range for performance data is no other range. */
static void check_text(const struct threshold_term *term)
{
    static struct threshold_list again;
    const struct threshold_range *range = &term->range;
    char spec[THRESHOLD_NAME_BYTES + THRESHOLD_RANGE_BYTES + 2];
    struct err err = {0};

    CHECK(strnlen(range->text, sizeof(range->text)) < sizeof(range->text));
    CHECK(strchr(range->text, 'e') == NULL);
    (void)snprintf(spec, sizeof(spec), "%s=%s", term->name, range->text);
    if (isinf(range->start) && isinf(range->end)) /* "~:" */
        return;
    CHECK(threshold_parse(&again, "--crit", spec, &err) == 0 && again.count == 1);
    CHECK(near(again.terms[0].range.start, range->start) && near(again.terms[0].range.end, range->end));
    CHECK(again.terms[0].range.inside == range->inside);
}

static void check_range(const struct threshold_range *range)
{
    CHECK(!isnan(range->start) && !isnan(range->end) && range->start <= range->end);
    if (isfinite(range->start)) {
        CHECK(threshold_alerts(range, range->start) == range->inside);
        CHECK(threshold_alerts(range, nextafter(range->start, -INFINITY)) != range->inside);
    }
    if (isfinite(range->end)) {
        CHECK(threshold_alerts(range, range->end) == range->inside);
        CHECK(threshold_alerts(range, nextafter(range->end, INFINITY)) != range->inside);
    }
}

static void check_accepted(const struct threshold_list *list)
{
    CHECK(list->count > 0 && list->count <= THRESHOLD_TERMS_MAX);
    for (size_t i = 0; i < list->count; i++) {
        const struct threshold_term *term = &list->terms[i];
        CHECK(threshold_find(list, term->name) == &term->range); /* each name once */
        check_range(&term->range);
        check_text(term);
    }
}

static void check_refused(const struct err *err)
{
    CHECK(err->reason == ERR_USAGE && strncmp(err->text, "--warn", strlen("--warn")) == 0);
    fuzz_check_printable(err->text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct threshold_list list;
    struct err err = {0};

    if (size > INPUT_MAX)
        return 0;
    char *text = fuzz_text(data, size);
    if (threshold_parse(&list, "--warn", text, &err) == 0)
        check_accepted(&list);
    else
        check_refused(&err);
    free(text);
    return 0;
}
