#include "support/written.h"

#include <stdlib.h>
#include <string.h>

void written_open(struct written *written)
{
    *written = (struct written){0};
    written->out = open_memstream(&written->text, &written->length);
    if (written->out == NULL)
        abort();
}

char *written_close(struct written *written)
{
    if (fclose(written->out) != 0 || strlen(written->text) != written->length)
        abort();
    return written->text;
}
