#include "tcpgreet/base/library.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#ifndef MAP_ANONYMOUS
#define MAP_ANONYMOUS MAP_ANON
#endif

enum { MAPPED_BYTES = 8 * 1024 * 1024 /* the largest library, libmicrohttpd, takes 7 with its own */ };

/* The loader has its own errno. Returns: EMFILE, ENFILE, ENOMEM; 0: it has what it needs. */
static int find_exhausted(void)
{
    int fd = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 0);
    if (fd < 0 && (errno == EMFILE || errno == ENFILE))
        return errno;
    if (fd >= 0)
        (void)close(fd);
    void *mapped = mmap(NULL, MAPPED_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (mapped == MAP_FAILED)
        return ENOMEM;
    (void)munmap(mapped, MAPPED_BYTES);
    return 0;
}

static const char *explain(void)
{
    const char *why = dlerror();
    errno = find_exhausted();
    return why;
}

const char *library_load(const char *file, const struct library_function *functions, size_t count,
                         void *table)
{
    void *handle = dlopen(file, RTLD_NOW | RTLD_LOCAL);

    if (handle == NULL)
        return explain();
    for (size_t i = 0; i < count; i++)
        if (dlsym(handle, functions[i].name) == NULL)
            return explain();
    for (size_t i = 0; i < count; i++) {
        void *function = dlsym(handle, functions[i].name);
        memcpy((char *)table + functions[i].offset, &function, sizeof(function)); /* POSIX: of one form */
    }
    return NULL;
}
