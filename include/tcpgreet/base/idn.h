/* Internationalized domain names, through libidn2. */
#ifndef TCPGREET_BASE_IDN_H
#define TCPGREET_BASE_IDN_H

#include <stdbool.h>
#include <stddef.h>

bool idn_is_ascii(const char *host);

/* Writes a host in A-labels; one in ASCII as it is, and in a build without libidn2 every one. libidn2 is
 * loaded for the first that is not. Returns: 0; -1: it cannot be a domain name, or libidn2 cannot be loaded.
 * Shape: why: set with -1, a constant. Thread: any. Source: RFC 5891, UTS #46 (nontransitional). */
int idn_to_ascii(const char *host, char *ascii, size_t room, const char **why);

#endif
