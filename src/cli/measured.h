/* Which times a probe measures that a limit can be set on. */
#ifndef TCPGREET_CLI_MEASURED_H
#define TCPGREET_CLI_MEASURED_H

#include "tcpgreet/probe/probe.h"

/* Returns: the name of the first limit on a time that will not be measured; NULL if there is none. */
const char *option_unmeasured(const struct probe_config *probe, const struct threshold_list *limits);

#endif
