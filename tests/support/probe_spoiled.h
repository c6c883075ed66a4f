/* A probe's result at its worst: every text from a peer has its maximum length and is hostile. */
#ifndef TCPGREET_TEST_PROBE_SPOILED_H
#define TCPGREET_TEST_PROBE_SPOILED_H

#include "probe/result.h"

/* Fills every text of the result and of all its addresses with a piece, over and over; reports that 4711
 * certificates came. Reasons stay. */
void probe_spoil(struct probe_result *result, const char *piece);

#endif
