/* What a server gives up before it serves. */
#ifndef TCPGREET_SERVER_CONFINEMENT_H
#define TCPGREET_SERVER_CONFINEMENT_H

#include "tcpgreet/base/err.h"
#include "tcpgreet/server/serve.h"

/* The first step of a server. Errors, Thread: as sandbox_prepare. Returns: 0, -1. */
int server_confinement_prepare(const struct server_config *config, struct err *err);

/* The last step before its threads start; logs what is active. Errors: as sandbox_enter. Returns: 0, -1. */
int server_confinement_enter(struct err *err);

#endif
