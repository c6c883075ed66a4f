/* What an exporter gives up before it serves. */
#ifndef TCPGREET_EXPORTER_CONFINEMENT_H
#define TCPGREET_EXPORTER_CONFINEMENT_H

#include "tcpgreet/base/err.h"
#include "tcpgreet/exporter/exporter.h"

/* The first step of an exporter. Errors, Thread: as sandbox_prepare. Returns: 0, -1. */
int exporter_confinement_prepare(const struct exporter_config *config, struct err *err);

/* The last step before its threads start, of which the log's is the first; logs what is active. Errors: as
 * sandbox_enter; internal. Returns: 0, -1. */
int exporter_confinement_enter(struct err *err);

#endif
