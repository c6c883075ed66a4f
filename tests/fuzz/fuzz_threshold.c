#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tcpgreet/probe/threshold.h"

enum { INPUT_MAX = 1024 };

static void require(bool truth)
{
    if (!truth)
        abort();
}

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

    require(strnlen(range->text, sizeof(range->text)) < sizeof(range->text));
    require(strchr(range->text, 'e') == NULL);
    (void)snprintf(spec, sizeof(spec), "%s=%s", term->name, range->text);
    if (isinf(range->start) && isinf(range->end)) /* "~:" */
        return;
    require(threshold_parse(&again, "--crit", spec, &err) == 0 && again.count == 1);
    require(near(again.terms[0].range.start, range->start) && near(again.terms[0].range.end, range->end));
    require(again.terms[0].range.inside == range->inside);
}

static void check_range(const struct threshold_range *range)
{
    require(!isnan(range->start) && !isnan(range->end) && range->start <= range->end);
    if (isfinite(range->start)) {
        require(threshold_alerts(range, range->start) == range->inside);
        require(threshold_alerts(range, nextafter(range->start, -INFINITY)) != range->inside);
    }
    if (isfinite(range->end)) {
        require(threshold_alerts(range, range->end) == range->inside);
        require(threshold_alerts(range, nextafter(range->end, INFINITY)) != range->inside);
    }
}

static void check_accepted(const struct threshold_list *list)
{
    require(list->count > 0 && list->count <= THRESHOLD_TERMS_MAX);
    for (size_t i = 0; i < list->count; i++) {
        const struct threshold_term *term = &list->terms[i];
        require(threshold_find(list, term->name) == &term->range); /* each name once */
        check_range(&term->range);
        check_text(term);
    }
}

static void check_refused(const struct err *err)
{
    require(err->reason == ERR_USAGE && strncmp(err->text, "--warn", strlen("--warn")) == 0);
    for (const char *at = err->text; *at != '\0'; at++)
        require((unsigned char)*at >= 0x20 && *at != 0x7f);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct threshold_list list;
    struct err err = {0};

    if (size > INPUT_MAX)
        return 0;
    char *text = malloc(size + 1);
    if (text == NULL)
        return 0;
    if (size > 0)
        memcpy(text, data, size);
    text[size] = '\0';
    if (threshold_parse(&list, "--warn", text, &err) == 0)
        check_accepted(&list);
    else
        check_refused(&err);
    free(text);
    return 0;
}
