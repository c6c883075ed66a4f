/* Limits on a probe's times and on certificates as --warn and --crit give them: "0.2",
 * "connect=0.1,total=0.5", "tls=@1:2", "days=30:". */
#ifndef TCPGREET_PROBE_THRESHOLD_H
#define TCPGREET_PROBE_THRESHOLD_H

#include <stdbool.h>
#include <stddef.h>

#include "tcpgreet/base/err.h"

enum { THRESHOLD_TERMS_MAX = 16, THRESHOLD_NAME_BYTES = 16, THRESHOLD_RANGE_BYTES = 52 };

/* One range of the plugin guidelines: alert outside start..end, or inside where it began with '@'. */
struct threshold_range {
    double start; /* -INFINITY for "~" */
    double end;   /* INFINITY where none is given */
    bool inside;
    char text[THRESHOLD_RANGE_BYTES]; /* without a unit, for performance data */
};

struct threshold_term {
    char name[THRESHOLD_NAME_BYTES]; /* a phase's name, "total" or "days" */
    struct threshold_range range;    /* seconds; given as "0.2", "200ms" or "1s"; of "days": a number */
};

/* Starts as {0}. */
struct threshold_list {
    struct threshold_term terms[THRESHOLD_TERMS_MAX];
    size_t count;
};

/* Days that every certificate of the verified chain stays valid for; fewer are a warning, or critical. */
struct threshold_days {
    int warning;  /* 0: any */
    int critical; /* 0: any; never more than warning */
};

/* What a run is held to. */
struct thresholds {
    struct threshold_list warn;
    struct threshold_list crit;
    struct threshold_days expect_days;
};

/* Returns: what can be limited, one by one from index 0: "connect"; NULL behind the last. */
const char *threshold_name(size_t index);

/* Errors: usage: what was wrong in it and what would be right. option is for the message: "--warn". */
int threshold_parse(struct threshold_list *list, const char *option, const char *text, struct err *err);

/* Returns: whether value is a reason to alert. */
bool threshold_alerts(const struct threshold_range *range, double value);

/* Returns: the range for a name, NULL where there is none. */
const struct threshold_range *threshold_find(const struct threshold_list *list, const char *name);

#endif
