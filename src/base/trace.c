#include "tcpgreet/base/trace.h"

#include <errno.h>
#include <time.h>

trace_fn *trace_sink;
static void *trace_context;
static _Thread_local enum trace_bytes trace_bytes;

void trace_to(trace_fn *sink, void *context)
{
    trace_context = context;
    trace_sink = sink;
}

uint64_t trace_begin(void)
{
    if (trace_sink == NULL)
        return 0;
    int saved = errno;
    struct timespec now = {0};
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    errno = saved;
    return (uint64_t)now.tv_sec * 1000000000U + (uint64_t)now.tv_nsec;
}

void trace_bytes_are(enum trace_bytes bytes)
{
    trace_bytes = bytes;
}

void trace_emit(const struct trace_event *event)
{
    if (trace_sink == NULL)
        return;
    int saved = errno;
    struct trace_event step = *event;
    step.bytes = trace_bytes;
    trace_sink(trace_context, &step);
    errno = saved;
}
