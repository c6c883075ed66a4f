/* Internationalized domain names, through libidn2. */
#ifndef TCPGREET_BASE_IDN_H
#define TCPGREET_BASE_IDN_H

#include <stdbool.h>
#include <stddef.h>

bool idn_is_ascii(const char *host);

enum idn_result {
    IDN_OK,
    IDN_NOT_A_NAME,   /* it cannot be a domain name */
    IDN_NOT_AVAILABLE /* libidn2 cannot be loaded, now */
};

/* Writes a host in A-labels; one in ASCII as it is, and in a build without libidn2 every one. libidn2 is
 * loaded for the first that is not. Shape: why: set where the result is not IDN_OK, a constant. Thread: any.
 * Source: RFC 5891, UTS #46 (nontransitional). */
enum idn_result idn_to_ascii(const char *host, char *ascii, size_t room, const char **why);

#endif
