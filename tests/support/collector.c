#include "support/collector.h"

#include <fcntl.h>
#include <unistd.h>

int collector_open(struct collector *collector)
{
    int ends[2];
    if (pipe(ends) != 0)
        return -1;
    collector->reader = ends[0];
    collector->writer = ends[1];
    collector->length = 0;
    collector->text[0] = '\0';
    return 0;
}

static void close_end(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

void collector_close(struct collector *collector)
{
    collector_close_reader(collector);
    collector_close_writer(collector);
}

void collector_close_reader(struct collector *collector)
{
    close_end(&collector->reader);
}

void collector_close_writer(struct collector *collector)
{
    close_end(&collector->writer);
}

size_t collector_fill(struct collector *collector)
{
    static const char filler[4096];
    size_t filled = 0;
    int flags = fcntl(collector->writer, F_GETFL);
    (void)fcntl(collector->writer, F_SETFL, flags | O_NONBLOCK);
    for (ssize_t n; (n = write(collector->writer, filler, sizeof(filler))) > 0;)
        filled += (size_t)n;
    (void)fcntl(collector->writer, F_SETFL, flags);
    return filled;
}

bool collector_read(struct collector *collector)
{
    size_t room = sizeof(collector->text) - 1 - collector->length;
    ssize_t n = read(collector->reader, collector->text + collector->length, room);
    if (n <= 0)
        return false;
    collector->length += (size_t)n;
    collector->text[collector->length] = '\0';
    return true;
}

void collector_finish(struct collector *collector)
{
    collector_close_writer(collector);
    (void)collector_main(collector);
}

void *collector_main(void *collector)
{
    while (collector_read(collector))
        continue;
    return NULL;
}
