/* What belongs to the server and stands in files of its own. */
#ifndef TCPGREET_SERVE_PRIVATE_H
#define TCPGREET_SERVE_PRIVATE_H

#include "tcpgreet/options.h"
#include "tcpgreet/stream_misbehave.h"

/* Returns: how guests are to be treated. Where that is badly, the log says so. */
struct stream_misbehaviour serve_misbehaviour(const struct options *options);

#endif
