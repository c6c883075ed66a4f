/* What a peer that was only listened to has proved. Pure. */
#ifndef TCPGREET_PROBE_LISTENING_H
#define TCPGREET_PROBE_LISTENING_H

#include "plan.h"
#include "result.h"

/* Returns: whether the dialogue is never begun: the peer is listened to for its end or an alert. */
bool probe_only_listens(const struct probe_plan *plan);

/* Returns: whether the server may still refuse with an alert. */
bool probe_is_alert_awaited(const struct probe_plan *plan, const struct probe_address *record);

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
 * it. Errors: dialogue-early-end. */
int probe_judge_peer(const struct probe_plan *plan, const struct probe_address *record, struct err *err);

/* The peer was to refuse with an alert. Shape: is_up: the handshake was done. Returns: 0 where it did; else
 * -1, with err where met does not have it. Errors: tls-alert, tls-no-alert. */
int probe_judge_alert(const struct probe_plan *plan, bool is_up, const struct err *met, struct err *err);

/* Both: what a session has proved that is over. Shape: is_up: the handshake was done; met: as probe_peer_of.
 * Writes: record->peer_is. Returns: as they do. */
int probe_judge(const struct probe_plan *plan, struct probe_address *record, bool is_up,
                const struct err *met, struct err *err);

/* The run ends while a peer is listened to. Returns: whether nothing that was asked for is cut short: it is
 * not demanded to send anything, or has been silent for longer than a port takes that closes at once, and is
 * recorded so. */
bool probe_has_listened(const struct probe_plan *plan, struct probe_address *record, int64_t now_ns);

#endif
