/* The mode --probe: rounds as the options say, a result in the face asked for, COMMAND once all is well. */
#ifndef TCPGREET_PROBE_PROBE_H
#define TCPGREET_PROBE_PROBE_H

#include "tcpgreet/base/err.h"
#include "tcpgreet/cli/options.h"

/* Does not return where it becomes COMMAND. Returns: the exit code where the whole story is told (a report, a
 * plugin's line, or nothing with -q); else -1 with err. Errors: what was found, as probe_result_judge has it,
 * or threshold; usage, system-file, system-output, interrupted, internal. */
int probe(const struct options *options, struct err *err);

#endif
