/* What is known of the addresses of a probe and of their certificates, as text. */
#ifndef TCPGREET_PROBE_TEXT_FACTS_H
#define TCPGREET_PROBE_TEXT_FACTS_H

#include "page.h"

/* Writes the facts of the addresses that failed, or of all. */
void probe_text_facts(const struct probe_page *page, const struct probe_result *result);

/* Writes each certificate once, with the addresses that presented it. */
void probe_text_certificates(const struct probe_page *page, const struct probe_result *result);

#endif
