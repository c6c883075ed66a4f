/* What a test has to know of the command that it may run under. */
#ifndef TCPGREET_TEST_LAUNCHER_H
#define TCPGREET_TEST_LAUNCHER_H

#include <stdbool.h>

#if __has_include(<valgrind/valgrind.h>)
#include <valgrind/valgrind.h>
#else
#define RUNNING_ON_VALGRIND 0
#endif

/* Returns: whether setrlimit(2) is effective. Valgrind keeps a limit of its own: accept4 takes a
 * connection out of the queue before it fails. */
static inline bool launcher_has_real_limits(void)
{
    return RUNNING_ON_VALGRIND == 0;
}

#endif
