/* The versions of this program and of its libraries. */
#ifndef TCPGREET_OS_VERSION_H
#define TCPGREET_OS_VERSION_H

#include <stdio.h>

/* Writes the text of --version: one line each, built with and running with. The caller checks out for errors.
 */
void version_put(FILE *out);

#endif
