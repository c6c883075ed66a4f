#include "tcpgreet/core/volume.h"

#include <stdio.h>

#include "tcpgreet/base/escape.h"
#include "tcpgreet/core/greeting.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

#define WELCOME GREETING_WELCOME GREETING_QUESTION
#define ANSWER_END GREETING_HELLO_END GREETING_QUESTION
#define LAST_NAME GREETING_EXIT "\n"

enum { ANSWER_ADDS = sizeof(GREETING_HELLO ANSWER_END) - 1, WHERE_BYTES = 120 };

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
                                  8192, 8193, 12288, 16383, DIALOGUE_OUT_BYTES,
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

/* Depends on its place among all, so that one lost, doubled or moved is a wrong one. None begins like "exit".
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

static struct volume *of(struct dialogue *dialogue)
{
    return (struct volume *)dialogue;
}

/* A peer that sends one byte at a time is never silent, and would go on for years: an answer may take twice
 * as long. */
static void set_deadline(struct volume *volume)
{
    int64_t silent_ms = volume->received_ms + volume->answer_ms;
    int64_t slow_ms = volume->answered_ms + 2 * volume->answer_ms;
    volume->dialogue.deadline_ms = silent_ms < slow_ms ? silent_ms : slow_ms;
}

static void finish(struct volume *volume, enum volume_end end)
{
    volume->end = end;
    volume->dialogue.deadline_ms = DIALOGUE_NEVER;
    volume->dialogue.state = end == VOLUME_END_COMPLETE ? DIALOGUE_OVER : DIALOGUE_FAILED;
}

/* Appends what is left of a name and its newline, as far as it fits. */
static void put_name(struct volume *volume, struct sink *out)
{
    struct volume_place *place = &volume->sent;

    while (sink_room(out) > 0 && place->at < place->size)
        out->data[out->length++] = byte_of(place, place->at), place->at++;
    if (sink_room(out) > 0) {
        out->data[out->length++] = '\n';
        go_on(volume, place);
    }
}

static void put_exit(struct volume *volume, struct sink *out)
{
    size_t *at = &volume->sent.at;
    while (sink_room(out) > 0 && *at < sizeof LAST_NAME - 1)
        out->data[out->length++] = LAST_NAME[(*at)++];
}

static bool is_all_sent(const struct volume *volume)
{
    return volume->sent.size == 0 && volume->sent.at == sizeof LAST_NAME - 1;
}

static void put_burst(struct volume *volume, struct sink *out)
{
    size_t burst = bursts[volume->bursts % COUNT(bursts)];

    if (is_all_sent(volume) || burst > sink_room(out))
        return;
    struct sink part = {out->data + out->length, 0, burst};
    while (sink_room(&part) > 0 && volume->sent.size > 0)
        put_name(volume, &part);
    put_exit(volume, &part);
    volume->bursts++;
    volume->sent_bytes += part.length;
    out->length += part.length;
    if (is_all_sent(volume))
        volume->dialogue.state = DIALOGUE_RUNNING;
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

/* What comes next. Returns: false: nothing may. */
static bool expect(const struct volume *volume, char *byte)
{
    const struct volume_place *place = &volume->received;
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
    struct volume_place *place = &volume->received;
    volume->received_bytes++;
    if (volume->welcome < sizeof WELCOME - 1)
        volume->welcome++;
    else if (++place->at == place->size + ANSWER_ADDS && place->size > 0)
        go_on(volume, place);
}

/* Returns: how many bytes of in are those due. */
static size_t compare(struct volume *volume, struct bytes in)
{
    char expected;
    size_t count = 0;
    while (count < in.length && expect(volume, &expected) && in.data[count] == expected) {
        advance(volume);
        count++;
    }
    return count;
}

static bool is_complete(const struct volume *volume)
{
    return volume->received.size == 0 && volume->received.at == sizeof GREETING_GOODBYE - 1;
}

static void begin(struct dialogue *dialogue, struct sink *out, int64_t now_ms)
{
    struct volume *volume = of(dialogue);
    (void)out;
    volume->received_ms = volume->answered_ms = now_ms;
    set_deadline(volume);
}

static size_t receive(struct dialogue *dialogue, struct bytes in, struct sink *out, int64_t now_ms)
{
    struct volume *volume = of(dialogue);
    uint64_t number = volume->received.number;
    size_t taken = compare(volume, in);

    if (taken < in.length) {
        finish(volume, VOLUME_END_WRONG);
        return taken;
    }
    if (taken > 0)
        volume->received_ms = now_ms;
    if (volume->received.number != number)
        volume->answered_ms = now_ms;
    set_deadline(volume);
    put_burst(volume, out);
    return taken;
}

static size_t end_with_peer(struct dialogue *dialogue, struct bytes in, struct sink *out, int64_t now_ms)
{
    struct volume *volume = of(dialogue);
    (void)out;
    (void)now_ms;
    finish(volume, is_complete(volume) ? VOLUME_END_COMPLETE : VOLUME_END_EARLY);
    return in.length;
}

static size_t expire(struct dialogue *dialogue, struct bytes in, struct sink *out, int64_t now_ms)
{
    struct volume *volume = of(dialogue);
    bool is_silent = now_ms >= volume->received_ms + volume->answer_ms;
    (void)in;
    (void)out;
    if (now_ms >= dialogue->deadline_ms)
        finish(volume, is_silent ? VOLUME_END_SILENT : VOLUME_END_SLOW);
    return 0;
}

const char *volume_where(const struct volume *volume, char *text, size_t room)
{
    const struct volume_place *place = &volume->received;
    unsigned long long start = place->start, total = volume->total_bytes;

    if (volume->welcome < sizeof WELCOME - 1)
        snprintf(text, room, "before the first of %llu bytes", total);
    else if (place->size > 0)
        snprintf(text, room, "after %llu of %llu bytes, in a name of %zu bytes", start, total, place->size);
    else
        snprintf(text, room, "after all of %llu bytes", total);
    return text;
}

static void fail_wrong(const struct volume *volume, char got, struct err *err)
{
    const struct volume_place *place = &volume->received;
    char expected, want_text[8], got_text[8], where[80] = "in the good bye";

    if (!expect(volume, &expected)) {
        err_set(err, ERR_DIALOGUE_WRONG_ANSWER, 0, "the server sent more after its final message");
        return;
    }
    if (volume->welcome < sizeof WELCOME - 1)
        snprintf(where, sizeof where, "in the welcome");
    else if (place->size > 0)
        snprintf(where, sizeof where, "in the answer to name %llu, which has %zu bytes",
                 (unsigned long long)place->number + 1, place->size);
    escape_quoted((struct bytes){&expected, 1}, want_text, sizeof want_text);
    escape_quoted((struct bytes){&got, 1}, got_text, sizeof got_text);
    struct err_facts facts = {.detail = ERR_DETAIL_VOLUME_CHANGED, .received = {&got, 1}};
    err_set_facts(err, ERR_DIALOGUE_WRONG_ANSWER, &facts,
                  "byte %llu from the server is wrong, %s: expected \"%s\", received \"%s\"",
                  (unsigned long long)volume->received_bytes + 1, where, want_text, got_text);
}

static void failure(const struct dialogue *dialogue, struct bytes rest, struct err *err)
{
    const struct volume *volume = (const struct volume *)dialogue;
    double limit_s = (double)volume->answer_ms / 1000;
    char where[WHERE_BYTES];

    volume_where(volume, where, sizeof where);
    if (volume->end == VOLUME_END_WRONG)
        fail_wrong(volume, rest.data[0], err);
    else if (volume->end == VOLUME_END_EARLY)
        err_set(err, ERR_DIALOGUE_EARLY_END, 0, "the server closed %s", where);
    else if (volume->end == VOLUME_END_SILENT)
        err_set_facts(err, ERR_DIALOGUE_TIMEOUT, &(struct err_facts){.detail = ERR_DETAIL_VOLUME_STALLED},
                      "received nothing for %g s, %s: the path may drop large packets", limit_s, where);
    else
        err_set(err, ERR_DIALOGUE_TIMEOUT, 0, "no answer was complete within %g s, %s", 2 * limit_s, where);
}

static const struct dialogue_ops volume_ops = {
    .begin = begin,
    .receive = receive,
    .eof = end_with_peer,
    .expire = expire,
    .failure = failure,
    .duplex = true,
};

void volume_init(struct volume *volume, uint64_t bytes, int64_t answer_ms)
{
    *volume = (struct volume){
        .dialogue = {.ops = &volume_ops, .deadline_ms = DIALOGUE_NEVER, .state = DIALOGUE_SENDING},
        .total_bytes = bytes > 1 ? bytes : 2,
        .answer_ms = answer_ms};
    arrive(volume, &volume->sent);
    arrive(volume, &volume->received);
}
