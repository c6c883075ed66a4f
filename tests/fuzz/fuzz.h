/* What the fuzz targets share. */
#ifndef TCPGREET_FUZZ_FUZZ_H
#define TCPGREET_FUZZ_FUZZ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

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

/* Returns: a file with these bytes that no folder has, at its start. */
static inline int fuzz_file(const void *data, size_t size)
{
    char path[] = "/tmp/tcpgreet-fuzz-XXXXXX";
    int fd = mkstemp(path);
    CHECK(fd >= 0 && unlink(path) == 0);
    CHECK(write(fd, data, size) == (ssize_t)size && lseek(fd, 0, SEEK_SET) == 0);
    return fd;
}

/* What a person reads: no control character. */
static inline void fuzz_check_printable(const char *text)
{
    for (; *text != '\0'; text++)
        CHECK((unsigned char)*text >= ' ' && *text != 0x7f);
}

#endif
