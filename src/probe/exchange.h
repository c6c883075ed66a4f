/* The exchange of a trial, --send and --expect: what it proves, and what it waits for when it is done. */
#ifndef TCPGREET_PROBE_EXCHANGE_H
#define TCPGREET_PROBE_EXCHANGE_H

#include "attempt.h"

/* Makes the trial's exchange. Returns: its dialogue. */
struct dialogue *probe_exchange_init(struct probe_trial *trial);

/* The exchange is done, and the peer has sent nothing that proves that it accepts this client: a refusal with
 * an alert is awaited, by the trial's brief. Returns: whether it is; else the conn may end. */
bool probe_exchange_awaits_refusal(struct probe_trial *trial);

/* The conn is done. Shape: met: what ended it; NULL: nothing went wrong. Returns: NULL, with the record's
 * facts, or what the trial fails with: met. */
const struct err *probe_exchange_judge(struct probe_trial *trial, const struct err *met);

#endif
