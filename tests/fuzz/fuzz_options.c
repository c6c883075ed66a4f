#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "fuzz/fuzz.h"
#include "tcpgreet/base/escape.h"
#include "tcpgreet/cli/options.h"

enum { ARGUMENTS_MAX = 128 };

static void check_refused(const struct err *err)
{
    char text[4 * ERR_TEXT_BYTES];
    struct bytes sent = {err->text, strlen(err->text)};

    CHECK(err->reason == ERR_USAGE && sent.length > 0);
    CHECK(strchr(err->text, '\n') == NULL);
    /* Escaping again changes backslashes only: nothing else in it needs an escape. */
    escape_text(sent, text, sizeof(text));
    for (const char *a = err->text, *b = text; *a != '\0'; a++, b++) {
        CHECK(*a == *b);
        if (*a == '\\')
            CHECK(*++b == '\\');
    }
}

static void check_accepted(const struct options *options, int argc)
{
    CHECK(options->mode != MODE_NONE);
    CHECK(options->operand_count < (size_t)argc);
    if (options->mode == MODE_LISTEN) {
        CHECK(options->server.listen[0].service[0] != '\0');
        CHECK(!(options->server.ipv4_only && options->server.ipv6_only));
        CHECK(!(options->server.verbose && options->server.quiet));
        CHECK(options->server.pause_ms >= 0 && options->server.pause_ms <= 60000);
    }
    if (options->mode == MODE_CONNECT) {
        CHECK(options->client.target.service[0] != '\0');
        CHECK(!(options->client.ipv4_only && options->client.ipv6_only));
        CHECK(options->client.connect_timeout_ms > 0);
        CHECK(options->client.timeout_ms >= 0);
    }
}

/* The bytes are the words after the program's name, each ended by a NUL. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct options options;
    const char *argv[ARGUMENTS_MAX + 1] = {"tcpgreet"};
    struct err err = {0};
    int argc = 1;
    char *words = fuzz_text(data, size);
    for (size_t at = 0; at < size && argc < ARGUMENTS_MAX; at += strlen(words + at) + 1)
        argv[argc++] = words + at;

    options = (struct options){0};
    int rc = options_parse(&options, argc, argv, &err);
    CHECK(rc == 0 || rc == -1);
    CHECK((rc == 0) == (err.reason == ERR_OK));
    if (rc == 0)
        check_accepted(&options, argc);
    else
        check_refused(&err);
    options_fini(&options);
    free(words);
    return 0;
}
