/* Times, certificates and names of a probe's result, as the machine-readable formats have them. */
#ifndef TCPGREET_PROBE_MEASURES_H
#define TCPGREET_PROBE_MEASURES_H

#include "report.h"

/* Beside the phases: to the end of the last one but the volume. */
enum { PROBE_TOTAL = PROBE_PHASES, PROBE_TIMES };

/* Returns: a phase's name, or "total". */
const char *probe_time_name(int time);

/* Returns: how long a phase that succeeded took, or the total of an address that is OK; -1. */
int64_t probe_time_ns(const struct probe_address *address, int time);

/* Returns: whether what was measured at an address is held to limits: with --require any a failed one is not
 * where another is OK. */
bool probe_is_measured(const struct probe_result *result, const struct probe_address *address);

/* Returns: the slowest of the addresses that are measured, -1 where there is none. */
int64_t probe_slowest_ns(const struct probe_result *result, int time);

/* Returns: whether the peer showed a certificate. */
bool probe_has_certificate(const struct probe_address *address);

/* Returns: when the first certificate of the verified chain expires, the peer's own or a CA's above it;
 * seconds since 1970. */
int64_t probe_expires(const struct probe_address *address);

/* Returns: whole days from the round to then, rounded down: -1 on the day after it. */
int64_t probe_days_left(const struct probe_result *result, const struct probe_address *address);

/* Returns: of the addresses that are measured the one whose chain expires first, NULL where there is no
 * certificate. */
const struct probe_address *probe_first_to_expire(const struct probe_result *result);

/* Returns: "ipv6" or "ipv4". */
const char *probe_family_word(enum race_family family);
enum race_family probe_family(const struct probe_address *address);

/* Writes an endpoint without port and brackets: "::1", "fe80::1%eth0". Returns: text. */
const char *probe_host_text(const struct endpoint *endpoint, char text[ENDPOINT_TEXT_BYTES]);

/* Writes ,"KEY":[{"word":…,"text":…},…]. */
void probe_put_findings(FILE *out, const char *key, const struct probe_finding *findings, size_t count);

const char *probe_until_word(enum probe_until until);
const char *probe_verified_word(enum probe_verified verified); /* "": nothing */
/* Returns: "tcpgreet", "ssh", ...; "" where it is not known. */
const char *probe_service_word(const struct probe_address *address);
const char *probe_resumption_word(enum probe_resumption resumption);

#endif
