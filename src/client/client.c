#include "tcpgreet/client/client.h"

#include "greet.h"
#include "raw.h"
#include "run.h"

int client_run(const struct client_config *config, struct err *err)
{
    return run_all(config->raw ? &raw_use : &greet_use, config, err);
}
