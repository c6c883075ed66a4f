/* What the fuzz targets share. */
#ifndef TCPGREET_FUZZ_FUZZ_H
#define TCPGREET_FUZZ_FUZZ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "support/check.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Returns: a copy in a block of exactly its size and a NUL behind it, to be freed. */
static inline char *fuzz_text(const uint8_t *data, size_t size)
{
    char *text = malloc(size + 1);
    CHECK(text != NULL);
    if (size > 0)
        memcpy(text, data, size);
    text[size] = '\0';
    return text;
}

/* What a person reads: no control character. */
static inline void fuzz_check_printable(const char *text)
{
    for (; *text != '\0'; text++)
        CHECK((unsigned char)*text >= ' ' && *text != 0x7f);
}

#endif
