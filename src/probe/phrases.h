/* The sentences of a probe's result, line by line, shared by text and plot. Each function appends. */
#ifndef TCPGREET_PROBE_PHRASES_H
#define TCPGREET_PROBE_PHRASES_H

#include "bars.h"
#include "tcpgreet/format/text.h"

/* Nanoseconds as text_time has them; "0 ms" for none. */
struct text probe_phrase_time(int64_t ns);

/* Returns: "OK", or the word of a failure. */
const char *probe_phrase_reason(enum err_reason reason);

/* "greet.example.net:6000 over TLS" */
void probe_phrase_target(const struct probe_result *result, struct text_line *line);

/* "degraded, 1/2 addresses OK, 10.0 s" */
void probe_phrase_verdict(const struct probe_result *result, struct text_line *line);

/* "IPv6: 2 addresses in 3.14 ms; IPv4: none (no such name)"; nothing for a literal. */
void probe_phrase_answers(const struct probe_result *result, struct text_line *line);

/* "Happy Eyeballs: a client would use [::1]:6000, connected after 1.2 ms; no fallback needed."; nothing
 * where none ran, or where one address is all there is. */
void probe_phrase_race(const struct probe_result *result, struct text_line *line);

/* Returns: the name of a phase for a person. */
const char *probe_phrase_phase(enum probe_phase phase);

/* "resolve 1.21 ms, connect 10.0 s (failed)" */
void probe_phrase_phases(const struct probe_row *row, struct text_line *line);

/* "from [::1]:53500 on lo, SYN retransmitted once, MSS 32741, RTT 21.0 µs"; nothing where nothing is known.
 */
void probe_phrase_path(const struct probe_address *address, struct text_line *line);

/* The end of that, from what was retransmitted on; the comma only where something stands before. */
void probe_phrase_kernel(const struct probe_address *address, struct text_line *line);

/* "TLSv1.3, TLS_AES_128_GCM_SHA256, x25519, ALPN greet"; nothing without a handshake. */
void probe_phrase_tls(const struct probe_address *address, struct text_line *line);

/* "resumption: works"; nothing where it was not tried. */
void probe_phrase_resumption(const struct probe_address *address, struct text_line *line);

/* "211 names, 1048576 bytes sent, 65536 received"; nothing where none was sent. */
void probe_phrase_volume(const struct probe_address *address, struct text_line *line);

/* "for greet.example.net, www.greet.example.net"; where a certificate has no usable name, what it has
 * of itself instead. */
void probe_phrase_names(const struct stream_tls_facts *facts, struct text_line *line);

/* "42 days left, until 2026-02-12", "expired 3 days ago, on 2025-12-29". */
void probe_phrase_validity(const struct probe_result *result, const struct stream_tls_facts *facts,
                           struct text_line *line);
void probe_phrase_validity_until(const struct probe_result *result, int64_t not_after,
                                 struct text_line *line);

/* What a peer sent first, quoted, without the end of its line unless that is all. Returns: text; "" where it
 * sent nothing. */
const char *probe_phrase_first(const struct probe_address *address, char *text, size_t room);

/* "not a tcpgreet server (it sent \"SSH-2.0-OpenSSH_9.2\"), service: ssh"; nothing where all that is OK is
 * one. */
void probe_phrase_others(const struct probe_result *result, struct text_line *line);

/* " through TCP; not a tcpgreet server (...)": how far an OK goes; nothing where it is the whole dialogue. */
void probe_phrase_through(const struct probe_result *result, struct text_line *line);

/* What stands behind so many findings; nothing where they report the verdict. */
void probe_phrase_last(const struct probe_result *result, size_t findings, struct text_line *line);

#endif
