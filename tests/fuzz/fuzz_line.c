#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "cli/line.h"
#include "fuzz/fuzz.h"

/* The words stand in the line, one behind the other. */
static void check_words(const char *text, size_t length, const char **words, int count)
{
    const char *end = text;

    CHECK(count >= 0 && count <= OPTION_LINE_WORDS_MAX);
    for (int i = 0; i < count; i++) {
        CHECK(words[i] >= end && words[i] <= text + length);
        end = words[i] + strlen(words[i]) + 1;
        CHECK(end <= text + length + 1);
    }
}

/* The bytes are a line of a list of targets, on top of a command line with options of its own. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const argv[] = {"tcpgreet", "--probe", "--targets", "list",
                                       "-4",       "--tls",   "--expect",  "Server"};
    static const char *words[OPTION_LINE_WORDS_MAX], *operands[OPTION_LINE_WORDS_MAX + 1];
    static struct options base, options;
    struct err err = {0};
    char *text = fuzz_text(data, size);
    base = (struct options){0};
    bool has_exchange = script_check_built(&err) == 0; /* that needs PCRE2 */
    err_clear(&err);
    CHECK(options_parse(&base, has_exchange ? 8 : 6, argv, &err) == 0);
    int count = option_split_line(text, size, words, &err);
    CHECK((count < 0) == (err.reason == ERR_USAGE));
    if (count > 0) {
        check_words(text, size, words, count);
        const struct option_line line = {words, count, operands, &base};
        int result = option_parse_line(&options, &line, &err);
        CHECK((result < 0) == (err.reason == ERR_USAGE));
        CHECK(result < 0 || options.probe.target.service[0] != '\0');
        CHECK(result < 0 || !(options.probe.ipv4_only && options.probe.ipv6_only));
        CHECK(options.probe.format == base.probe.format && options.targets.file == base.targets.file);
        option_line_fini(&options.probe, &base);
    }
    options_fini(&base);
    free(text);
    return 0;
}
