#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "fuzz/fuzz.h"
#include "tcpgreet/core/target.h"

enum { INPUT_MAX = 2048 };

static void check_refused(const struct target *target, const struct err *err)
{
    CHECK(target->host[0] == '\0' && target->service[0] == '\0');
    CHECK(err->reason == ERR_USAGE && err->text[0] != '\0');
    fuzz_check_printable(err->text);
}

/* What was accepted can be written, and what is written is accepted as the same. */
static void check_round_trip(const struct target *target)
{
    char text[TARGET_HOST_BYTES + TARGET_SERVICE_BYTES + 3];
    struct target again;
    struct err err = {0};
    bool every = target->kind == TARGET_EVERY_ADDRESS;
    CHECK(every == (target->host[0] == '\0'));
    CHECK(target->service[0] != '\0' && strpbrk(target->host, "[]") == NULL);
    (void)target_format(target, text, sizeof(text));
    CHECK(every || target_is_one_word(text));
    CHECK(target_parse_word(&again, every ? target->service : text, &err) == 0);
    CHECK(again.kind == target->kind);
    CHECK(strcmp(again.host, target->host) == 0 && strcmp(again.service, target->service) == 0);
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
    char *word = fuzz_text(data, size);
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
