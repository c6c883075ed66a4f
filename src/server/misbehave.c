#include "misbehave.h"
#include "tcpgreet/base/log.h"

enum { TEXT_BYTES = 96 };

struct stream_misbehaviour serve_misbehaviour(const struct options *options)
{
    static const enum stream_misbehave_kind kinds[] = {
        [MISBEHAVE_NOT] = STREAM_MISBEHAVE_NOT,
        [MISBEHAVE_DELAY] = STREAM_MISBEHAVE_DELAY,
        [MISBEHAVE_DRIP] = STREAM_MISBEHAVE_DRIP,
        [MISBEHAVE_RESET] = STREAM_MISBEHAVE_RESET,
        [MISBEHAVE_HALF_CLOSE] = STREAM_MISBEHAVE_HALF_CLOSE,
        [MISBEHAVE_NO_CLOSE_NOTIFY] = STREAM_MISBEHAVE_NO_CLOSE_NOTIFY,
        [MISBEHAVE_MUTE] = STREAM_MISBEHAVE_MUTE,
    };
    struct stream_misbehaviour how = {.kind = kinds[options->misbehave], .ms = options->misbehave_ms};
    char text[TEXT_BYTES];

    if (how.kind != STREAM_MISBEHAVE_NOT)
        log_write(LOG_WARNING, "THIS SERVER MISBEHAVES ON PURPOSE (--misbehave): %s",
                  stream_misbehave_text(&how, text, sizeof text));
    return how;
}
