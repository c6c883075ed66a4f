#include "tcpgreet/base/idn.h"

#include <stdio.h>
#include <string.h>

#ifdef TCPGREET_HAVE_IDN2
#include <idn2.h>
#include <pthread.h>

#include "tcpgreet/base/library.h"
#endif

bool idn_is_ascii(const char *host)
{
    for (; *host != '\0'; host++)
        if ((unsigned char)*host > 0x7f)
            return false;
    return true;
}

static int copy(const char *host, char *ascii, size_t room, const char **why)
{
    *why = "it is too long";
    return snprintf(ascii, room, "%s", host) < (int)room ? 0 : -1;
}

#ifdef TCPGREET_HAVE_IDN2

/* Invariant: to_ascii == NULL, or no function is NULL. */
struct idn {
    __typeof__(idn2_to_ascii_8z) *to_ascii;
    __typeof__(idn2_free) *free;
    __typeof__(idn2_strerror) *strerror;
};

#ifdef TCPGREET_IDN_LIBRARY

static struct idn idn;

static void load(void)
{
    static const struct library_function functions[] = {{"idn2_to_ascii_8z", offsetof(struct idn, to_ascii)},
                                                        {"idn2_free", offsetof(struct idn, free)},
                                                        {"idn2_strerror", offsetof(struct idn, strerror)}};

    (void)library_load(TCPGREET_IDN_LIBRARY, functions, sizeof(functions) / sizeof(functions[0]), &idn);
}

#else

static struct idn idn = {idn2_to_ascii_8z, idn2_free, idn2_strerror};

static void load(void)
{
}

#endif

int idn_to_ascii(const char *host, char *ascii, size_t room, const char **why)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    char *labels = NULL;

    if (idn_is_ascii(host))
        return copy(host, ascii, room, why);
    *why = "libidn2 cannot be loaded";
    if (pthread_once(&once, load) != 0 || idn.to_ascii == NULL)
        return -1;
    int result = idn.to_ascii(host, &labels, IDN2_NFC_INPUT | IDN2_NONTRANSITIONAL);
    if (result == IDN2_OK)
        result = copy(labels, ascii, room, why);
    else
        *why = idn.strerror(result);
    idn.free(labels);
    return result == 0 ? 0 : -1;
}

#else

int idn_to_ascii(const char *host, char *ascii, size_t room, const char **why)
{
    return copy(host, ascii, room, why);
}

#endif
