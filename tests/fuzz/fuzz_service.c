#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "fuzz/fuzz.h"
#include "tcpgreet/core/service.h"

/* Whatever a peer sends is identified within its bounds; a word is lower case, for JSON and metrics. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size > SERVICE_FIRST_BYTES)
        size = SERVICE_FIRST_BYTES;
    const char *word = service_identify((struct bytes){(const char *)data, size});
    CHECK(word == NULL ||
          (word[0] != '\0' && strspn(word, "abcdefghijklmnopqrstuvwxyz0123456789") == strlen(word)));
    return 0;
}
