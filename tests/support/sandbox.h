/* Machines that lack something, for tests of what becomes of that: what is done here is for good, so it is
 * done in a child. */
#ifndef TCPGREET_TEST_SANDBOX_H
#define TCPGREET_TEST_SANDBOX_H

#include <stdbool.h>

#include "tcpgreet/core/endpoint.h"

/* What a step returns where this system does not let it be prepared. */
enum { SANDBOX_UNDONE = 77 };

/* A network whose only interface is the loopback interface. */
struct sandbox_network {
    bool up;
    bool no_ipv6; /* IPv6 is switched off */
    bool no_ipv4; /* 127.0.0.1 is taken away */
    bool wide;    /* there are addresses of both families that are neither loopback nor link-local */
};

/* From here on this process is in a network of its own. Returns: whether this system can do that. */
bool sandbox_enter(const struct sandbox_network *network);

/* From here on socket(2) fails with EAFNOSUPPORT for this family, as under RestrictAddressFamilies= of
 * systemd. Returns: whether this system can do that. */
bool sandbox_forbid_family(int family);

/* Runs step in a child; fails the test unless it returns 0, skips it where it returns SANDBOX_UNDONE. */
void sandbox_run(int (*step)(void));

/* Shape: text without zone. Port 6000. */
struct endpoint sandbox_endpoint(const char *text);

#endif
