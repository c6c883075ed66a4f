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

static enum idn_result copy(const char *host, char *ascii, size_t room, const char **why)
{
    *why = "it is too long";
    return snprintf(ascii, room, "%s", host) < (int)room ? IDN_OK : IDN_NOT_A_NAME;
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

/* What fails is tried again: descriptors or memory may have been exhausted. */
static bool load(void)
{
    static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    static const struct library_function functions[] = {{"idn2_to_ascii_8z", offsetof(struct idn, to_ascii)},
                                                        {"idn2_free", offsetof(struct idn, free)},
                                                        {"idn2_strerror", offsetof(struct idn, strerror)}};

    (void)pthread_mutex_lock(&lock);
    if (idn.to_ascii == NULL)
        (void)library_load(TCPGREET_IDN_LIBRARY, functions, sizeof(functions) / sizeof(functions[0]), &idn);
    bool is_loaded = idn.to_ascii != NULL;
    (void)pthread_mutex_unlock(&lock);
    return is_loaded;
}

#else

static struct idn idn = {idn2_to_ascii_8z, idn2_free, idn2_strerror};

static bool load(void)
{
    return true;
}

#endif

enum idn_result idn_to_ascii(const char *host, char *ascii, size_t room, const char **why)
{
    char *labels = NULL;

    if (idn_is_ascii(host))
        return copy(host, ascii, room, why);
    *why = "libidn2 cannot be loaded";
    if (!load())
        return IDN_NOT_AVAILABLE;
    int failure = idn.to_ascii(host, &labels, IDN2_NFC_INPUT | IDN2_NONTRANSITIONAL);
    *why = failure != IDN2_OK ? idn.strerror(failure) : NULL;
    enum idn_result result = failure == IDN2_OK ? copy(labels, ascii, room, why) : IDN_NOT_A_NAME;
    idn.free(labels);
    return result;
}

#else

enum idn_result idn_to_ascii(const char *host, char *ascii, size_t room, const char **why)
{
    return copy(host, ascii, room, why);
}

#endif
