#include "starttls_reply.h"

#include <string.h>

enum starttls_verdict starttls_end_with(struct starttls *starttls, enum starttls_end end)
{
    starttls->end = end;
    starttls->dialogue.state = DIALOGUE_FAILED;
    return STARTTLS_ENDS;
}

void starttls_keep(struct starttls *starttls, struct bytes bytes)
{
    size_t room = sizeof starttls->quote - starttls->quote_count;
    size_t count = bytes.length < room ? bytes.length : room;
    if (count > 0)
        memcpy(starttls->quote + starttls->quote_count, bytes.data, count);
    starttls->quote_count = (uint8_t)(starttls->quote_count + count);
}

void starttls_keep_only(struct starttls *starttls, struct bytes bytes)
{
    starttls->quote_count = 0;
    starttls->is_quoted = true;
    starttls_keep(starttls, bytes);
}
