/* How much memory this process may use. */
#ifndef TCPGREET_OS_MEMORY_H
#define TCPGREET_OS_MEMORY_H

#include <stdint.h>

/* Shape: root: where /proc and /sys are; "": the system's own. Returns: bytes: the lowest limit of its
 * control groups and those above them, or what the machine has where that is less; 0 where neither is known.
 * Source: cgroups(7); Linux, admin-guide/cgroup-v2, memory.max; cgroup-v1/memory, memory.limit_in_bytes. */
uint64_t memory_limit(const char *root);

#endif
