#include "tcpgreet/core/volume.h"

#include <stdio.h>

#include "tcpgreet/base/escape.h"
#include "tcpgreet/core/greeting.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

#define WELCOME GREETING_WELCOME GREETING_QUESTION
#define ANSWER_END GREETING_HELLO_END GREETING_QUESTION
#define LAST_WORD GREETING_EXIT "\n"

enum { ANSWER_ADDS = sizeof(GREETING_HELLO ANSWER_END) - 1 };

/* Of names, every other one: powers of two and beside, those whose answer is one, and the limit. The first is
 * short, so that it is whole in the first burst: from then on no pause ends a name (docs/protocol.md). */
static const uint16_t sizes[] = {1,
                                 2,
                                 3,
                                 63,
                                 64,
                                 65,
                                 127,
                                 128,
                                 255,
                                 256,
                                 257,
                                 511,
                                 512,
                                 512 - ANSWER_ADDS,
                                 GREETING_NAME_MAX - ANSWER_ADDS,
                                 GREETING_NAME_MAX - 2,
                                 GREETING_NAME_MAX - 1,
                                 GREETING_NAME_MAX};

/* TCP's payload in a packet of 576, 1280, 1400 (tunnels) and 1500 bytes, over IPv6 and IPv4, without and with
 * timestamps; pages; a TLS record. */
static const uint16_t bursts[] = {536,  535,  537,   1208,  1220,
                                  1221, 1340, 1360,  1361,  1428,
                                  1440, 1441, 1448,  1460,  1461,
                                  2920, 4095, 4096,  4097,  8191,
                                  8192, 8193, 12288, 16383, VOLUME_BURST_MAX,
                                  1};

/* Source: splitmix64, Steele, Lea and Flood, "Fast splittable pseudorandom number generators", 2014. */
static uint64_t mix(uint64_t x)
{
    x += 0x9e3779b97f4a7c15;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9;
    x = (x ^ (x >> 27)) * 0x94d049bb133111eb;
    return x ^ (x >> 31);
}

static size_t size_of(uint64_t number)
{
    if (number % 2 == 0)
        return sizes[number / 2 % COUNT(sizes)];
    return 1 + (size_t)(mix(number) % GREETING_NAME_MAX);
}

/* Says which byte of all it is, so that one lost, doubled or moved is a wrong one. None begins like "exit".
 */
static char byte_of(const struct volume_place *place, size_t at)
{
    enum { LETTERS = 26, PRINTABLE = '~' - '!' + 1 };
    uint64_t x = mix(place->start + at);
    return (char)(at == 0 ? 'A' + x % LETTERS : '!' + x % PRINTABLE);
}

static void arrive(const struct volume *volume, struct volume_place *place)
{
    uint64_t left = volume->total_bytes - place->start;
    size_t size = size_of(place->number);
    place->at = 0;
    if (left == 0)
        place->size = 0;
    else if (size + 1 > left)
        place->size = (size_t)left - 1;
    else
        place->size = size + 2 == left ? size + 1 : size; /* nothing would be left but a newline */
    if (place->size > GREETING_NAME_MAX)
        place->size = GREETING_NAME_MAX - 1;
}

static void go_on(const struct volume *volume, struct volume_place *place)
{
    place->start += place->size + 1;
    place->number++;
    arrive(volume, place);
}

void volume_init(struct volume *volume, uint64_t bytes)
{
    *volume = (struct volume){.total_bytes = bytes > 1 ? bytes : 2};
    arrive(volume, &volume->said);
    arrive(volume, &volume->heard);
}

/* Appends what is left of a name and its newline, or of exit, as far as it fits. */
static void say_some(struct volume *volume, struct sink *out)
{
    struct volume_place *place = &volume->said;

    while (sink_room(out) > 0 && place->at < place->size)
        out->data[out->length++] = byte_of(place, place->at), place->at++;
    if (sink_room(out) > 0) {
        out->data[out->length++] = '\n';
        go_on(volume, place);
    }
}

static void say_exit(struct volume *volume, struct sink *out)
{
    size_t *at = &volume->said.at;
    while (sink_room(out) > 0 && *at < sizeof LAST_WORD - 1)
        out->data[out->length++] = LAST_WORD[(*at)++];
}

size_t volume_next(struct volume *volume, char data[VOLUME_BURST_MAX])
{
    struct sink out = {data, 0, bursts[volume->bursts++ % COUNT(bursts)]};

    while (sink_room(&out) > 0 && volume->said.size > 0)
        say_some(volume, &out);
    say_exit(volume, &out);
    volume->sent_bytes += out.length;
    return out.length;
}

/* Returns: the byte at a place in the answer to a name. */
static char answer_byte(const struct volume_place *place)
{
    enum { HELLO = sizeof GREETING_HELLO - 1 };
    if (place->at < HELLO)
        return GREETING_HELLO[place->at];
    if (place->at < HELLO + place->size)
        return byte_of(place, place->at - HELLO);
    return ANSWER_END[place->at - HELLO - place->size];
}

static int fail_wrong(const struct volume *volume, char expected, char said, struct err *err)
{
    const struct volume_place *place = &volume->heard;
    char want[8], got[8], where[80] = "in the good bye";

    if (volume->welcome < sizeof WELCOME - 1)
        snprintf(where, sizeof where, "in the welcome");
    else if (place->size > 0)
        snprintf(where, sizeof where, "in the answer to name %llu, which has %zu bytes",
                 (unsigned long long)place->number + 1, place->size);
    escape_quoted((struct bytes){&expected, 1}, want, sizeof want);
    escape_quoted((struct bytes){&said, 1}, got, sizeof got);
    struct err_facts facts = {.detail = ERR_DETAIL_VOLUME_CHANGED, .received = {&said, 1}};
    return err_set_facts(err, ERR_DIALOGUE_WRONG_ANSWER, &facts,
                         "byte %llu from the server is wrong, %s: expected \"%s\", received \"%s\"",
                         (unsigned long long)volume->received_bytes + 1, where, want, got);
}

/* What comes next. Returns: false: nothing may. */
static bool expect(const struct volume *volume, char *byte)
{
    const struct volume_place *place = &volume->heard;
    if (volume->welcome < sizeof WELCOME - 1)
        *byte = WELCOME[volume->welcome];
    else if (place->size > 0)
        *byte = answer_byte(place);
    else if (place->at < sizeof GREETING_GOODBYE - 1)
        *byte = GREETING_GOODBYE[place->at];
    else
        return false;
    return true;
}

static void advance(struct volume *volume)
{
    struct volume_place *place = &volume->heard;
    volume->received_bytes++;
    if (volume->welcome < sizeof WELCOME - 1)
        volume->welcome++;
    else if (++place->at == place->size + ANSWER_ADDS && place->size > 0)
        go_on(volume, place);
}

int volume_receive(struct volume *volume, struct bytes bytes, struct err *err)
{
    for (size_t i = 0; i < bytes.length; i++) {
        char expected;
        if (!expect(volume, &expected))
            return err_set(err, ERR_DIALOGUE_WRONG_ANSWER, 0, "the server sent more after its final message");
        if (bytes.data[i] != expected)
            return fail_wrong(volume, expected, bytes.data[i], err);
        advance(volume);
    }
    return 0;
}

bool volume_is_complete(const struct volume *volume)
{
    return volume->heard.size == 0 && volume->heard.at == sizeof GREETING_GOODBYE - 1;
}

const char *volume_where(const struct volume *volume, char *text, size_t room)
{
    const struct volume_place *place = &volume->heard;
    unsigned long long start = place->start, total = volume->total_bytes;

    if (volume->welcome < sizeof WELCOME - 1)
        snprintf(text, room, "before the first of %llu bytes", total);
    else if (place->size > 0)
        snprintf(text, room, "after %llu of %llu bytes, in a name of %zu bytes", start, total, place->size);
    else
        snprintf(text, room, "after all of %llu bytes", total);
    return text;
}
