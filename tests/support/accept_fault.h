/* Makes accept4 of this process fail. Linux only: elsewhere accept_fault_is_available returns false. */
#ifndef TCPGREET_TEST_ACCEPT_FAULT_H
#define TCPGREET_TEST_ACCEPT_FAULT_H

#include <stdbool.h>

enum { ACCEPT_FAULT_ANY = -1, ACCEPT_FAULT_ALWAYS = -1 };

bool accept_fault_is_available(void);

/* From now on the next `times` calls for this listening socket fail with native; later ones work.
 * Shape: fd: a descriptor, or ACCEPT_FAULT_ANY; times: 0 and more, or ACCEPT_FAULT_ALWAYS. Thread: any. */
void accept_fault_set(int fd, int native, int times);

/* Returns: calls that failed since accept_fault_set. Thread: any. */
unsigned accept_fault_count(void);

#endif
