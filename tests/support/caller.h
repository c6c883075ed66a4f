/* A peer on TCP that waits for limited time, for tests of a server in another thread. Any failure fails the
 * test. */
#ifndef TCPGREET_TEST_CALLER_H
#define TCPGREET_TEST_CALLER_H

#include <stdbool.h>

#include "tcpgreet/core/endpoint.h"

enum { CALLER_PATIENCE_S = 20 };

/* Returns: whether ::1 is an address of this machine. */
bool caller_has_ipv6(void);

/* Returns: 0, or what connect(2) failed with; fd is -1 then. The socket does not block. */
int caller_try(const struct endpoint *to, int *fd);

/* Returns: a connected socket, which does not block. */
int caller_connect(const struct endpoint *to);

void caller_send(int fd, const char *words);

/* Reads just as much as words has, which must be words. */
void caller_expect(int fd, const char *words);

/* Expects the peer's end, and nothing before it. */
void caller_expect_end(int fd);

/* Closes with an RST. */
void caller_reset(int fd);

#endif
