/* What belongs to the server and stands in files of its own. */
#ifndef TCPGREET_SERVER_MISBEHAVE_H
#define TCPGREET_SERVER_MISBEHAVE_H

#include "tcpgreet/cli/options.h"
#include "tcpgreet/net/stream_misbehave.h"

/* Returns: how guests are to be treated. Where that is badly, the log says so. */
struct stream_misbehaviour serve_misbehaviour(const struct options *options);

#endif
