/* Makes the n-th call of the program fail. The file that TCPGREET_FAULTS names is mapped and shared with
 * tests/e2e/fault_board.py, which sets what fails and reads what did; without it nothing fails. */
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#ifdef TCPGREET_HAVE_TLS
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/tls1.h>
#endif

enum source { OWN_CALLS, OPENSSL_MEMORY, SOURCES };

struct board {
    _Atomic uint64_t count[SOURCES]; /* of calls so far */
    _Atomic uint64_t at[SOURCES];    /* the call that fails, from 1; 0: none */
    _Atomic uint64_t failed;
    _Atomic uint64_t caller; /* of the first that failed, as an offset in the program */
    char name[64];           /* of the first that failed */
};

static struct board *board;
static _Atomic int is_over; /* what runs after the program is another's, such as gcov */
extern const char __executable_start[];

/* caller: NULL where it is not in the program. Returns: whether this call is to fail. */
static int is_due(enum source source, const char *name, const void *caller)
{
    if (board == NULL || is_over)
        return 0;
    uint64_t number = ++board->count[source], at = board->at[source];
    if (at == 0 || number != at)
        return 0;
    if (board->failed++ == 0) {
        board->caller = caller != NULL ? (uint64_t)((const char *)caller - __executable_start) : 0;
        memcpy(board->name, name, strnlen(name, sizeof board->name - 1));
    }
    return 1;
}

/* Any of the calls, as the machine passes arguments: eight words at most, and no floating-point number. */
typedef uintptr_t word;
#define WRAP(name, value, prepare)                                                                           \
    word __real_##name(word a, word b, word c, word d, word e, word f, word g, word h);                      \
    word __wrap_##name(word a, word b, word c, word d, word e, word f, word g, word h);                      \
    word __wrap_##name(word a, word b, word c, word d, word e, word f, word g, word h)                       \
    {                                                                                                        \
        if (!is_due(OWN_CALLS, #name, __builtin_return_address(0)))                                          \
            return __real_##name(a, b, c, d, e, f, g, h);                                                    \
        prepare;                                                                                             \
        return (word)(value);                                                                                \
    }
#define MEMORY(name) WRAP(name, 0, errno = ENOMEM)
#define SYSTEM(name, number) WRAP(name, -1, errno = (number))
#define CODE(name, code) WRAP(name, code, (void)0)
#define TLS(name, value) WRAP(name, value, ERR_raise(ERR_LIB_SSL, ERR_R_MALLOC_FAILURE))

/* What is set by a number of its own; the other numbers only ask, or cannot fail. */
#define CONTROL(name)                                                                                        \
    word __real_##name(word object, word number, word value, word pointer);                                  \
    word __wrap_##name(word object, word number, word value, word pointer);                                  \
    word __wrap_##name(word object, word number, word value, word pointer)                                   \
    {                                                                                                        \
        if (!can_fail((int)number) || !is_due(OWN_CALLS, #name, __builtin_return_address(0)))                \
            return __real_##name(object, number, value, pointer);                                            \
        ERR_raise(ERR_LIB_SSL, ERR_R_MALLOC_FAILURE);                                                        \
        return 0;                                                                                            \
    }

#ifdef TCPGREET_HAVE_TLS
static int can_fail(int control)
{
    switch (control) {
    case SSL_CTRL_SET_MIN_PROTO_VERSION:
    case SSL_CTRL_SET_MAX_PROTO_VERSION:
    case SSL_CTRL_SET_GROUPS_LIST:
    case SSL_CTRL_SET_SIGALGS_LIST:
    case SSL_CTRL_SET_TLSEXT_HOSTNAME:
    case SSL_CTRL_CHAIN_CERT:
    case SSL_CTRL_SET_CHAIN_CERT_STORE:
    case SSL_CTRL_SET_TLSEXT_STATUS_REQ_TYPE:
        return 1;
    default:
        return 0;
    }
}
#endif

#include "calls.h"

#ifdef TCPGREET_HAVE_TLS
/* file may be NULL: OpenSSL 3.6 does not always give it. */
static int is_memory_due(const char *file, int line)
{
    char name[sizeof board->name];
    if (board == NULL)
        return 0;
    snprintf(name, sizeof name, "%s:%d", file != NULL ? file : "OpenSSL", line);
    return is_due(OPENSSL_MEMORY, name, NULL);
}

static void *take(size_t size, const char *file, int line)
{
    return is_memory_due(file, line) ? NULL : (void *)__real_malloc((word)size, 0, 0, 0, 0, 0, 0, 0);
}

static void *retake(void *memory, size_t size, const char *file, int line)
{
    return is_memory_due(file, line) ? NULL
                                     : (void *)__real_realloc((word)memory, (word)size, 0, 0, 0, 0, 0, 0);
}

static void give(void *memory, const char *file, int line)
{
    (void)file;
    (void)line;
    free(memory);
}
#endif

__attribute__((constructor)) static void map_board(void)
{
    const char *path = getenv("TCPGREET_FAULTS");
    if (path == NULL)
        return;
    int fd = (int)__real_open((word)path, O_RDWR | O_CLOEXEC, 0, 0, 0, 0, 0, 0);
    void *mapped = mmap(NULL, sizeof *board, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (mapped == MAP_FAILED)
        abort();
    close(fd);
#ifdef TCPGREET_HAVE_TLS
    if (CRYPTO_set_mem_functions(take, retake, give) != 1)
        abort();
#endif
    board = mapped;
}

/* Before gcov's, which has a priority. */
__attribute__((destructor)) static void end(void)
{
    is_over = 1;
}
