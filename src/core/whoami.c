#include "tcpgreet/core/whoami.h"

#include <assert.h>
#include <string.h>

#include "tcpgreet/core/dialogue.h"

static const struct bytes heads[WHOAMI_KEY_COUNT] = {
#define WHOAMI_HEAD(name, text) [WHOAMI_##name] = {"Server: " text ": ", sizeof("Server: " text ": ") - 1},
    WHOAMI_KEYS(WHOAMI_HEAD)
#undef WHOAMI_HEAD
};

static_assert((int)WHOAMI_KEY_COUNT * (WHOAMI_VALUE_MAX + (int)sizeof "Server: client-certificate: \n") <=
                  (int)WHOAMI_BYTES,
              "every answer has room");
static_assert((int)WHOAMI_BYTES < (int)DIALOGUE_OUT_BYTES, "and a session can go on after it");

struct bytes whoami_head(enum whoami_key key)
{
    return heads[key];
}

bool whoami_put(const char *const values[WHOAMI_KEY_COUNT], struct sink *out)
{
    size_t before = out->length;

    for (unsigned key = 0; key < WHOAMI_KEY_COUNT; key++) {
        struct bytes value = {values[key], strlen(values[key])};
        if (value.length == 0)
            continue;
        if (!sink_put(out, heads[key]) || !sink_put(out, value) || !sink_put(out, BYTES_LITERAL("\n"))) {
            out->length = before;
            return false;
        }
    }
    return true;
}
