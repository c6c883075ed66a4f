#include "support/guard.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* Returns: the readable bytes of the mapping: whole pages, at least one. */
static size_t readable(size_t size)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    return (size / page + (size % page != 0 || size == 0)) * page;
}

const char *guard_bytes(const void *data, size_t size)
{
    size_t length = readable(size);
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    char *pages = mmap(NULL, length + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (pages == MAP_FAILED)
        abort();
    char *bytes = pages + length - size;
    if (size > 0)
        memcpy(bytes, data, size);
    if (mprotect(pages, length, PROT_READ) != 0 || mprotect(pages + length, page, PROT_NONE) != 0)
        abort();
    return bytes;
}

void guard_free(const char *bytes, size_t size)
{
    if (bytes == NULL)
        return;
    size_t length = readable(size);
    char *pages = (char *)(uintptr_t)bytes + size - length;
    if (munmap(pages, length + (size_t)sysconf(_SC_PAGESIZE)) != 0)
        abort();
}

struct bytes guard_edge(struct bytes bytes)
{
    static char *edge;
    if (edge == NULL) {
        size_t page = (size_t)sysconf(_SC_PAGESIZE);
        char *pages =
            mmap(NULL, GUARD_EDGE_BYTES + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (pages == MAP_FAILED || mprotect(pages + GUARD_EDGE_BYTES, page, PROT_NONE) != 0)
            abort();
        edge = pages + GUARD_EDGE_BYTES;
    }
    if (bytes.length > GUARD_EDGE_BYTES)
        abort();
    if (bytes.length > 0)
        memcpy(edge - bytes.length, bytes.data, bytes.length);
    return (struct bytes){edge - bytes.length, bytes.length};
}
