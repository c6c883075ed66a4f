#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "tcpgreet/core/target.h"

enum { INPUT_MAX = 2048 };

static void require(bool truth)
{
    if (!truth)
        abort();
}

static void check_refused(const struct target *target, const struct err *err)
{
    require(target->host[0] == '\0' && target->service[0] == '\0');
    require(err->reason == ERR_USAGE && err->text[0] != '\0');
    for (const char *at = err->text; *at != '\0'; at++)
        require((unsigned char)*at >= 0x20 && *at != 0x7f);
}

/* What was accepted can be written, and what is written is accepted as the same. */
static void check_round_trip(const struct target *target)
{
    char text[TARGET_HOST_BYTES + TARGET_SERVICE_BYTES + 3];
    struct target again;
    struct err err = {0};
    bool every = target->kind == TARGET_EVERY_ADDRESS;
    require(every == (target->host[0] == '\0'));
    require(target->service[0] != '\0' && strpbrk(target->host, "[]") == NULL);
    (void)target_format(target, text, sizeof(text));
    require(every || target_is_one_word(text));
    require(target_parse_word(&again, every ? target->service : text, &err) == 0);
    require(again.kind == target->kind);
    require(strcmp(again.host, target->host) == 0 && strcmp(again.service, target->service) == 0);
}

static void check(const struct target *target, int result, const struct err *err)
{
    if (result == 0)
        check_round_trip(target);
    else
        check_refused(target, err);
}

/* One word, or a host, a newline and a port. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size > INPUT_MAX)
        return 0;
    char *word = malloc(size + 1);
    if (word == NULL)
        return 0;
    if (size > 0)
        memcpy(word, data, size);
    word[size] = '\0';
    struct target target;
    struct err err = {0};
    int result = target_parse_word(&target, word, &err);
    check(&target, result, &err);
    char *newline = strchr(word, '\n');
    if (newline != NULL) {
        *newline = '\0';
        err_clear(&err);
        result = target_parse(&target, word, newline + 1, &err);
        check(&target, result, &err);
    }
    free(word);
    return 0;
}
