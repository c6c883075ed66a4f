/* Input: flags (1: SOCKS5, 2: credentials, 4: the time expires, else the peer ends), the length of each piece
 * (0: all), then what the proxy sends. The same bytes give the same end, however they are cut. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fuzz/fuzz.h"
#include "support/proxy_talk.h"

enum { HEAD = 2, INPUT_MAX = 100 * 1000 };

static void check(const struct proxy_talk *talk, struct bytes received)
{
    const struct dialogue *dialogue = &talk->proxy.dialogue;

    CHECK(talk->consumed <= received.length && dialogue->deadline_ms == DIALOGUE_NEVER);
    CHECK(dialogue->state == DIALOGUE_OVER || dialogue->state == DIALOGUE_FAILED);
    CHECK((dialogue->state == DIALOGUE_OVER) == (talk->proxy.end == PROXY_END_CONNECTED));
    CHECK((dialogue->state == DIALOGUE_FAILED) == (talk->err.reason != ERR_OK));
    CHECK(talk->err.reason == ERR_OK || err_exit_code(talk->err.reason) == 4);
    CHECK(strstr(talk->err.text, "hunter2") == NULL ||
          memmem(received.data, received.length, "hunter2", 7) != NULL);
    fuzz_check_printable(talk->err.text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct proxy_talk whole, cut;
    struct proxy_route route;
    struct proxy_config config;

    if (size < HEAD || size > INPUT_MAX)
        return 0;
    bool has_user = (data[0] & 2) != 0;
    struct bytes received = {(const char *)data + HEAD, size - HEAD};
    enum proxy_talk_end end = (data[0] & 4) != 0 ? PROXY_TALK_EXPIRE : PROXY_TALK_EOF;
    proxy_talk_route(&route, &config, (data[0] & 1) != 0 ? PROXY_SOCKS5 : PROXY_HTTP, has_user ? "bob" : NULL,
                     has_user ? "hunter2" : NULL);
    proxy_talk_hold(&whole, &route, received, 0, end);
    proxy_talk_hold(&cut, &route, received, data[1], end);
    check(&whole, received);
    check(&cut, received);
    CHECK(whole.proxy.end == cut.proxy.end && whole.proxy.code == cut.proxy.code);
    CHECK(whole.consumed == cut.consumed && whole.sent_length == cut.sent_length);
    CHECK(memcmp(whole.sent, cut.sent, whole.sent_length) == 0);
    CHECK(whole.err.reason == cut.err.reason && whole.err.detail == cut.err.detail);
    return 0;
}
