/* Skips the running test and prints why. */
#ifndef TCPGREET_TEST_SKIP_H
#define TCPGREET_TEST_SKIP_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

/* Shape: why is what the test needs and this system does not have. Returns: never. */
static inline void skip_because(const char *why)
{
    print_message("skipped: %s\n", why);
    skip();
}

#endif
