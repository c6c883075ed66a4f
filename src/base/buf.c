#include "tcpgreet/base/buf.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { BUF_CAPACITY_MIN = 256 };

bool bytes_equal(struct bytes a, struct bytes b)
{
    return a.length == b.length && (a.length == 0 || memcmp(a.data, b.data, a.length) == 0);
}

struct bytes buf_bytes(const struct buf *buf)
{
    const struct buf_block *block = buf->block;
    if (block == NULL)
        return (struct bytes){0};
    return (struct bytes){block->data + block->offset, block->length};
}

/* Returns: a block with room for needed bytes that holds what buf does; NULL, with buf unchanged. */
static struct buf_block *grow(struct buf *buf, size_t needed)
{
    struct bytes held = buf_bytes(buf);
    size_t capacity = buf->block != NULL ? buf->block->capacity : BUF_CAPACITY_MIN;
    while (capacity < needed) {
        if (capacity > SIZE_MAX / 2)
            return NULL;
        capacity *= 2;
    }
    if (capacity > SIZE_MAX - sizeof *buf->block)
        return NULL;
    struct buf_block *block = malloc(sizeof *block + capacity);
    if (block == NULL)
        return NULL;
    *block = (struct buf_block){.length = held.length, .capacity = capacity};
    if (held.length > 0)
        memcpy(block->data, held.data, held.length);
    free(buf->block);
    buf->block = block;
    return block;
}

int buf_append(struct buf *buf, struct bytes view)
{
    struct buf_block *block = buf->block;

    if (view.length == 0)
        return 0;
    if (view.length > SIZE_MAX - buf_length(buf))
        return -1;
    size_t needed = buf_length(buf) + view.length;
    if (block == NULL || needed > block->capacity) {
        block = grow(buf, needed);
        if (block == NULL)
            return -1;
    } else if (needed > block->capacity - block->offset) {
        memmove(block->data, block->data + block->offset, block->length);
        block->offset = 0;
    }
    memcpy(block->data + block->offset + block->length, view.data, view.length);
    block->length = needed;
    return 0;
}

void buf_consume(struct buf *buf, size_t n)
{
    if (n == buf_length(buf)) {
        buf_fini(buf);
        return;
    }
    buf->block->offset += n;
    buf->block->length -= n;
}

void buf_fini(struct buf *buf)
{
    free(buf->block);
    buf->block = NULL;
}
