/* Passwords in memory. */
#ifndef TCPGREET_BASE_SECRET_H
#define TCPGREET_BASE_SECRET_H

#include <stddef.h>

/* Overwrites a secret; no compiler leaves it out. Shape: data may be NULL where length is 0. */
void secret_wipe(void *data, size_t length);

#endif
