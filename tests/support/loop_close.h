/* The end of a test's loop. */
#ifndef TCPGREET_TEST_LOOP_CLOSE_H
#define TCPGREET_TEST_LOOP_CLOSE_H

#include <uv.h>

/* Closes the handles that are still open, and the loop once all that is under way has ended. Fails the test
 * where it cannot be closed. */
void loop_close(uv_loop_t *loop);

#endif
