/* Input: two bytes that choose where the search begins and how much room there is, then the peer's bytes. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fuzz/fuzz.h"
#include "tcpgreet/core/greeting.h"

static size_t line_length(struct bytes in)
{
    size_t n = 0;
    while (n < in.length && in.data[n] != '\n')
        n++;
    return n;
}

static void check_cut(struct bytes in, size_t seed)
{
    size_t line = line_length(in), taken = 0;
    bool ended = line < in.length;
    size_t letters = line > 0 && in.data[line - 1] == '\r' ? line - 1 : line;
    struct bytes name = {NULL, 0};
    enum greeting_cut cut = greeting_cut(in, seed % (line + 1), &name, &taken);

    CHECK((cut == GREETING_NAME) == (ended && letters <= 1024));
    CHECK((cut == GREETING_TOO_LONG_NAME) == (ended && letters > 1024));
    CHECK((cut == GREETING_OVERFLOW) == (!ended && letters > 1024));
    CHECK(taken == (ended ? line + 1 : 0));
    if (cut == GREETING_NAME)
        CHECK(name.data == in.data && name.length == letters);

    enum greeting_cut all = greeting_cut_all(in, &name);
    CHECK(all == (in.length <= 1024 ? GREETING_NAME : GREETING_TOO_LONG_NAME));
    CHECK(all != GREETING_NAME || (name.data == in.data && name.length == in.length));
}

static void check_answer(struct bytes name, size_t seed)
{
    static const char before[] = "Server: Hello ", after[] = "!\nServer: What's your name?";
    char *room = malloc(seed + 1);
    CHECK(room != NULL);
    memset(room, '#', seed + 1);
    struct sink out = {room, 1, seed + 1};
    bool put = greeting_put_answer(&out, name);

    if (name.length == 0 || (name.length == 4 && memcmp(name.data, "exit", 4) == 0)) {
        const char *words = name.length == 0 ? "Server: What's your name?" : "Server: Good bye!\n";
        CHECK(put == (seed >= strlen(words)));
        CHECK(!put || (out.length == 1 + strlen(words) && memcmp(room + 1, words, strlen(words)) == 0));
    } else {
        size_t whole = strlen(before) + name.length + strlen(after);
        CHECK(put == (seed >= whole));
        CHECK(!put || (out.length == 1 + whole && memcmp(room + 1, before, strlen(before)) == 0 &&
                       memcmp(room + 1 + strlen(before), name.data, name.length) == 0 &&
                       memcmp(room + 1 + whole - strlen(after), after, strlen(after)) == 0));
    }
    CHECK(room[0] == '#' && (put || out.length == 1));
    free(room);
}

/* The verdict over a part is that over the whole, or not there yet: it never changes its mind. */
static void check_foreign(struct bytes in, size_t seed)
{
    enum greeting_foreign whole = greeting_foreign(in);
    size_t line = line_length(in), part = in.length > 0 ? seed % (in.length + 1) : 0;
    enum greeting_foreign early = greeting_foreign((struct bytes){in.data, part});

    if (whole == GREETING_TLS_CLIENT)
        CHECK(early == (part < 3 ? GREETING_NOT_FOREIGN : GREETING_TLS_CLIENT));
    else if (part > line)
        CHECK(early == whole);
    else
        CHECK(early == GREETING_NOT_FOREIGN || (early == whole && part > 1024));
    CHECK(whole != GREETING_HTTP_CLIENT || line < in.length || in.length > 1024);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2)
        return 0;
    size_t seed = (size_t)data[0] << 8 | data[1];
    struct bytes in = {(const char *)data + 2, size - 2};
    check_cut(in, seed);
    check_answer(in, seed);
    check_foreign(in, seed);
    return 0;
}
