/* The faces of a probe's result. Pure: a result in, text to a FILE. */
#ifndef TCPGREET_PROBE_REPORT_H
#define TCPGREET_PROBE_REPORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "result.h"
#include "tcpgreet/probe/faces.h"
#include "tcpgreet/probe/threshold.h"

enum { PROBE_FINDINGS_MAX = 16, PROBE_SENTENCE_BYTES = 600 };

/* One finding. Printable, one sentence, one line. */
struct probe_finding {
    bool is_doubt;    /* what is wrong at an address that is OK, and not only slow; of a remark: unset */
    const char *word; /* the rule's: "ipv6-unreachable", "dns-slow-one-type", ...; never renamed */
    char text[PROBE_SENTENCE_BYTES];
};

/* Returns: how many findings the rules have made, the most significant first. Source: the table in
 * probe_diagnosis.c, docs/probe.md. */
size_t probe_diagnose(const struct probe_result *result, struct probe_finding findings[PROBE_FINDINGS_MAX]);

enum { PROBE_REMARKS_MAX = RACE_FAMILIES + 4 };

/* The findings that are doubts: what an OK may not be reported without. Returns: how many. */
size_t probe_doubts(const struct probe_result *result, struct probe_finding findings[PROBE_FINDINGS_MAX]);

/* What is no finding, and is reported once: addresses that do not count, and why; peers that close at once,
 * where no more was asked for; alerts that were expected; what is possible and not proved. Returns: how many
 * remarks.
 */
size_t probe_remarks(const struct probe_result *result, struct probe_finding remarks[PROBE_REMARKS_MAX]);

enum { PROBE_ALERTS_MAX = PROBE_PHASES + 2, PROBE_ALERT_BYTES = 240 };

/* One limit that is broken. Printable, one line. */
struct probe_alert {
    bool critical;
    char text[PROBE_ALERT_BYTES]; /* "connect took 0.312 s at [::1]:6000, outside --crit connect=0.2" */
};

/* Holds what was measured to its limits: each phase of every address that got through it, the total (to the
 * end of the last phase but the volume) of every address that is OK, the days every certificate has left.
 * Returns: how many limits are broken, one a phase, the critical ones first. */
size_t probe_alerts(const struct probe_result *result, const struct thresholds *thresholds,
                    struct probe_alert alerts[PROBE_ALERTS_MAX]);

/* Checks a result that is OK against the limits. Returns: whether it is within them; if not, the verdict is
 * threshold. */
bool probe_alerts_judge(struct probe_result *result, const struct thresholds *thresholds);

struct probe_style {
    int columns; /* 80 where it is not known */
    bool utf8;
    bool color;
    bool verbose; /* all facts, also where all checks passed */
};

/* Each writes one whole result. The caller checks out for errors. now_s is the wall clock, for days left. */
void probe_report_text(const struct probe_result *result, const struct probe_style *style, FILE *out);
/* The codes of a monitoring plugin, their words, and the worse of two: OK, WARNING, UNKNOWN, CRITICAL.
 * Source: Monitoring Plugins Development Guidelines, "Plugin Return Codes". */
enum { PROBE_PLUGIN_OK, PROBE_PLUGIN_WARNING, PROBE_PLUGIN_CRITICAL, PROBE_PLUGIN_UNKNOWN };
const char *probe_plugin_word(int code);
int probe_plugin_worse(int a, int b);

/* The plugin's one line with performance data. Returns: its code. Source: the same guidelines. */
int probe_report_nagios(const struct probe_result *result, const struct thresholds *thresholds, FILE *out);

/* "CRITICAL - example.org:443: certificate ...", without performance data or the end of the line. Returns:
 * the plugin's code. */
int probe_report_nagios_line(const struct probe_result *result, const struct thresholds *thresholds,
                             FILE *out);

#endif
