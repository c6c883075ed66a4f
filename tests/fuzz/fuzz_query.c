#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "fuzz/fuzz.h"
#include "tcpgreet/core/query.h"

enum { INPUT_MAX = 8192 };

/* Each parameter takes something off the query, and fits. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct query_parameter parameter;

    if (size > INPUT_MAX)
        return 0;
    char *uri = fuzz_text(data, size);
    CHECK(query_origin_form(uri) <= uri + strlen(uri));
    CHECK(query_path_length(uri) <= strlen(uri));
    const char *at = query_begin(uri);
    for (const char *before = at; query_next(&at, &parameter) == QUERY_PARAMETER; before = at) {
        CHECK(at > before && at <= uri + strlen(uri));
        CHECK(memchr(parameter.name, '\0', sizeof(parameter.name)) != NULL);
        CHECK(memchr(parameter.value, '\0', sizeof(parameter.value)) != NULL);
        CHECK(strlen(parameter.name) + strlen(parameter.value) <= (size_t)(at - before));
    }
    free(uri);
    return 0;
}
