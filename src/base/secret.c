#include "tcpgreet/base/secret.h"

void secret_wipe(void *data, size_t length)
{
    volatile char *at = data;
    for (size_t i = 0; i < length; i++)
        at[i] = '\0';
}
