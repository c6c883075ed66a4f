/* What a trial finds out about an address, written into its record. */
#ifndef TCPGREET_PROBE_RECORD_H
#define TCPGREET_PROBE_RECORD_H

#include "result.h"

/* Names the interface of the local end, if that is known: once. To list the interfaces takes longer than a
 * connection within a machine, so no phase that waits for one has it. Shape: interfaces NULL is allowed. */
void probe_record_interface(struct probe_address *record, struct tcp_interfaces *interfaces);

/* Appends what the peer sent first, as far as there is room. */
void probe_record_first(struct probe_address *record, struct bytes bytes);

/* The peer has proved what can be proved without sending anything to it. Shape: first_ns: when its first byte
 * came. */
void probe_record_listened(struct probe_address *record, int64_t first_ns, int64_t now_ns);

/* The connect took too long: the kernel's facts. Writes: err. Shape: fd: connecting. */
void probe_record_timeout(struct probe_address *record, int fd, int64_t limit_ms, struct err *err);

/* The trial is interrupted. Writes: err: with what the peer has sent by then. Shape: met: what a handshake in
 * progress would end with, had its own time been over, else ERR_OK; in: received, and not settled. */
void probe_record_interrupted(struct probe_address *record, const struct err *met, struct bytes in,
                              struct err *err);

#endif
