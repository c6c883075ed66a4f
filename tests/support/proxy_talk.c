#include "support/proxy_talk.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "support/guard.h"

void proxy_talk_route(struct proxy_route *route, struct proxy_config *config, enum proxy_kind kind,
                      const char *user, const char *password)
{
    *config = (struct proxy_config){.kind = kind, .has_user = user != NULL, .password = password};
    if (target_parse(&config->at, "localhost", "3128", NULL) != 0)
        abort();
    snprintf(config->user, sizeof config->user, "%s", user != NULL ? user : "");
    *route =
        (struct proxy_route){.proxy = config, .kind = TARGET_NAME, .host = "target.example", .port = 6000};
}

static void keep_sent(struct proxy_talk *talk, struct sink *out)
{
    if (talk->sent_length + out->length > sizeof talk->sent)
        abort();
    if (out->length > 0)
        memcpy(talk->sent + talk->sent_length, out->data, out->length);
    talk->sent_length += out->length;
    out->length = 0;
}

void proxy_talk_hold(struct proxy_talk *talk, const struct proxy_route *route, struct bytes received,
                     size_t step, enum proxy_talk_end end)
{
    static char room[DIALOGUE_OUT_BYTES];
    struct sink out = {room, 0, sizeof room};
    struct dialogue *dialogue = &talk->proxy.dialogue;
    size_t given = 0;

    *talk = (struct proxy_talk){0};
    proxy_init(&talk->proxy, route);
    dialogue_begin(dialogue, &out, 0);
    keep_sent(talk, &out);
    while (dialogue->state == DIALOGUE_RUNNING && given < received.length) {
        given += step == 0 || step > received.length - given ? received.length - given : step;
        struct bytes in = guard_edge((struct bytes){received.data + talk->consumed, given - talk->consumed});
        talk->consumed += dialogue_receive(dialogue, in, &out, 0);
        keep_sent(talk, &out);
    }
    struct bytes rest = {received.data + talk->consumed, given - talk->consumed};
    if (dialogue->state == DIALOGUE_RUNNING && end == PROXY_TALK_EOF)
        dialogue_eof(dialogue, rest, &out, 0);
    else if (dialogue->state == DIALOGUE_RUNNING && end == PROXY_TALK_EXPIRE)
        dialogue_expire(dialogue, rest, &out, DIALOGUE_NEVER);
    if (dialogue->state == DIALOGUE_FAILED)
        dialogue_failure(dialogue, rest, &talk->err);
}
