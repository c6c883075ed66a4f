#include "tcpgreet/client/client.h"

#include "greet.h"
#include "run.h"

int client_run(const struct client_config *config, struct err *err)
{
    return run_all(&greet_use, config, err);
}
