/* A probe's result at its worst: what others have a say in is as long as can be, and none of it is meant
 * well. */
#ifndef TCPGREET_TEST_PROBE_SPOILED_H
#define TCPGREET_TEST_PROBE_SPOILED_H

#include "probe/result.h"

/* Fills every text of the result and of all its addresses with a piece, over and over; says that 4711
 * certificates came. Reasons stay. */
void probe_spoil(struct probe_result *result, const char *piece);

#endif
