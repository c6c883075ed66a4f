/* What a peer that was only listened to has proved. Pure. */
#ifndef TCPGREET_PROBE_LISTENING_H
#define TCPGREET_PROBE_LISTENING_H

#include "plan.h"
#include "result.h"

/* Returns: whether the dialogue is never begun: the peer is listened to for its end or an alert. */
bool probe_only_listens(const struct probe_plan *plan);

/* What the peer took so far. Shape: 0: not known. */
struct probe_pace {
    uint32_t rtt_us;
    int64_t answered_us; /* in the TLS handshake: a round trip and its work */
};

/* Returns: how long to listen, µs; 0: not at all, the dialogue is demanded. */
int64_t probe_listen_us(const struct probe_plan *plan, struct probe_pace pace, bool is_alert_awaited);

/* Returns: what the peer did. Shape: met: what ended the session; NULL: it was closed on the welcome. */
enum probe_peer probe_peer_of(const struct probe_plan *plan, const struct probe_address *record,
                              const struct err *met);

/* Returns: 0 where this is all that had to be proved; else -1, with err where the session's own does not have
 * it it. Errors: dialogue-early-end. */
int probe_judge_peer(const struct probe_plan *plan, const struct probe_address *record, struct err *err);

/* The peer was to refuse with an alert. Shape: is_up: the handshake was done. Returns: 0 where it did; else
 * -1, with err where met does not have it. Errors: tls-alert, tls-no-alert. */
int probe_judge_alert(const struct probe_plan *plan, bool is_up, const struct err *met, struct err *err);

#endif
