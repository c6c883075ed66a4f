#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "tcpgreet/core/query.h"

enum { INPUT_MAX = 8192 };

static void require(bool truth)
{
    if (!truth)
        abort();
}

/* Each parameter takes something off the query, and fits. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct query_parameter parameter;

    if (size > INPUT_MAX)
        return 0;
    char *uri = malloc(size + 1);
    if (uri == NULL)
        return 0;
    if (size > 0)
        memcpy(uri, data, size);
    uri[size] = '\0';
    require(query_origin_form(uri) <= uri + strlen(uri));
    require(query_path_length(uri) <= strlen(uri));
    const char *at = query_begin(uri);
    for (const char *before = at; query_next(&at, &parameter) == QUERY_PARAMETER; before = at) {
        require(at > before && at <= uri + strlen(uri));
        require(memchr(parameter.name, '\0', sizeof(parameter.name)) != NULL);
        require(memchr(parameter.value, '\0', sizeof(parameter.value)) != NULL);
        require(strlen(parameter.name) + strlen(parameter.value) <= (size_t)(at - before));
    }
    free(uri);
    return 0;
}
