#include "tcpgreet/base/library.h"

#include <dlfcn.h>
#include <string.h>

const char *library_load(const char *file, const struct library_function *functions, size_t count,
                         void *table)
{
    void *handle = dlopen(file, RTLD_NOW | RTLD_LOCAL);

    if (handle == NULL)
        return dlerror();
    for (size_t i = 0; i < count; i++)
        if (dlsym(handle, functions[i].name) == NULL)
            return dlerror();
    for (size_t i = 0; i < count; i++) {
        void *function = dlsym(handle, functions[i].name);
        memcpy((char *)table + functions[i].offset, &function, sizeof(function)); /* POSIX: of one form */
    }
    return NULL;
}
