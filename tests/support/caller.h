/* A blocking peer on TCP, for tests of what serves in another thread. Whatever fails fails the test. */
#ifndef TCPGREET_TEST_CALLER_H
#define TCPGREET_TEST_CALLER_H

#include <stdbool.h>

#include "tcpgreet/endpoint.h"

enum { CALLER_PATIENCE_S = 20 };

/* Returns: whether ::1 is an address of this machine. */
bool caller_has_ipv6(void);

/* Returns: a connected socket whose reads and writes have limited time. */
int caller_connect(const struct endpoint *to);

void caller_say(int fd, const char *words);

/* Reads just as much as words has, which must be words. */
void caller_expect(int fd, const char *words);

/* Expects the peer's end, and nothing before it. */
void caller_expect_end(int fd);

/* Closes with an RST. */
void caller_reset(int fd);

#endif
