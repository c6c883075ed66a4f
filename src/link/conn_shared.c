#include <stdlib.h>

#include "tcpgreet/link/conn.h"

struct conn_shared *conn_shared_new(uv_loop_t *loop)
{
    struct conn_shared *shared = malloc(sizeof *shared); /* to clear in and out would be to touch 20 pages */

    if (shared == NULL)
        return NULL;
    shared->loop = loop;
    shared->large = NULL;
    shared->large_bytes = 0;
    return shared;
}
