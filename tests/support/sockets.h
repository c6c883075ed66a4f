/* Sockets for tests, the same on every system. */
#ifndef TCPGREET_TEST_SOCKETS_H
#define TCPGREET_TEST_SOCKETS_H

#include <stdbool.h>
#include <sys/socket.h>

#ifndef MSG_NOSIGNAL
#define MSG_NOSIGNAL 0 /* where it is missing, SO_NOSIGPIPE or an ignored SIGPIPE stands in */
#endif

/* Returns: a socket that blocks. Aborts where the system refuses, as all of these do. */
int sockets_open(int family, int type);

/* Returns: the next connection of a listening socket, which blocks. */
int sockets_accept(int listener);

/* Opens two connected sockets that do not block. */
void sockets_open_pair(int ends[2]);

void sockets_set_nonblocking(int fd);

/* Waits until the events, as poll(2) names them, or an error are there. Signals do not interrupt it.
 * Returns: false: the time was over first. */
bool sockets_wait(int fd, short events, int timeout_ms);

#endif
