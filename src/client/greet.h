/* --connect for the greeting dialogue. */
#ifndef TCPGREET_CLIENT_GREET_H
#define TCPGREET_CLIENT_GREET_H

#include "run.h"

/* Sends each name and exit. Errors of its done: as client_run. */
extern const struct run_use greet_use;

#endif
