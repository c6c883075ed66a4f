#include "pace.h"

struct pace pace_begin(uint64_t start_ns, double rate, unsigned index, unsigned count)
{
    double interval_ns = 1e9 / rate;
    return (struct pace){.start_ns = start_ns + (uint64_t)(interval_ns * index),
                         .interval_ns = interval_ns * count};
}

uint64_t pace_due_ns(const struct pace *pace)
{
    return pace->start_ns + (uint64_t)((double)pace->next * pace->interval_ns);
}

bool pace_take(struct pace *pace, uint64_t now_ns, uint64_t *due_ns)
{
    *due_ns = pace_due_ns(pace);
    if (*due_ns > now_ns)
        return false;
    pace->next++;
    return true;
}

uint64_t pace_behind(const struct pace *pace, uint64_t now_ns)
{
    if (now_ns < pace->start_ns)
        return 0;
    uint64_t due = (uint64_t)((double)(now_ns - pace->start_ns) / pace->interval_ns) + 1;
    return due > pace->next ? due - pace->next : 0;
}
