#include "resolver_names.h"

#include <stdio.h>
#include <string.h>

#ifdef TCPGREET_HAVE_IDN2
#include <idn2.h>
#endif

#include "tcpgreet/base/escape.h"

bool resolver_is_ascii(const char *text)
{
    for (; *text != '\0'; text++)
        if ((unsigned char)*text > 0x7f)
            return false;
    return true;
}

int resolver_a_labels(const char *host, char out[TARGET_HOST_BYTES], struct err *err)
{
    snprintf(out, TARGET_HOST_BYTES, "%s", host);
#ifdef TCPGREET_HAVE_IDN2
    if (resolver_is_ascii(host))
        return 0;
    char *ascii = NULL;
    char shown[256];
    int result = idn2_to_ascii_8z(host, &ascii, IDN2_NFC_INPUT | IDN2_NONTRANSITIONAL);
    if (result != IDN2_OK || strlen(ascii) >= TARGET_HOST_BYTES) {
        escape_text((struct bytes){host, strlen(host)}, shown, sizeof shown);
        err_set(err, ERR_RESOLVE_NOT_FOUND, result, "%s is not a domain name: %s", shown,
                idn2_strerror(result));
        idn2_free(ascii);
        return -1;
    }
    snprintf(out, TARGET_HOST_BYTES, "%s", ascii);
    idn2_free(ascii);
#else
    (void)err;
#endif
    return 0;
}
