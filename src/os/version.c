#include "tcpgreet/os/version.h"

#include <uv.h>

void version_put(FILE *out)
{
    fprintf(out, "tcpgreet %s\n", TCPGREET_VERSION);
    fprintf(out, "libuv %s (built with %d.%d.%d)\n", uv_version_string(), UV_VERSION_MAJOR, UV_VERSION_MINOR,
            UV_VERSION_PATCH);
}
