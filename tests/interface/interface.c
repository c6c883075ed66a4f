/* Prints the parts of the program's interface that its own tables define, for scripts/check-interface: each
 * option with its argument, default, range, modes and words, each reason with its exit code, each other word
 * for the end or the rejection of a connection, units and escapes, the sentences of the protocol. */
#include <stdio.h>
#include <string.h>

#include "cli/table.h"
#include "probe/report.h"
#include "server/log.h"
#include "tcpgreet/base/escape.h"
#include "tcpgreet/core/greeting.h"
#include "tcpgreet/core/script.h"
#include "tcpgreet/core/whoami.h"

static void put_option(const struct option_row *row)
{
    char text[OPTION_EXPECTED_BYTES], title[OPTION_TITLE_BYTES], modes[OPTION_EXPECTED_BYTES];
    const char *argument = option_argument(row, text, sizeof(text));

    printf("option %s%s%s", option_title(row, title), argument[0] != '\0' ? " " : "", argument);
    if (row->words != NULL && row->argument != NULL)
        printf(" = %s", option_words(row->words, "|", "|", text, sizeof(text)));
    if (row->fallback != NULL)
        printf(", default %s", row->fallback);
    if (row->least != NULL)
        printf(", from %s to %s", row->least, row->most);
    if (row->repeatable)
        printf(", repeatable");
    if (row->mode == MODE_NONE)
        printf(", for %s", option_modes_text(option_modes(row), modes, sizeof(modes)));
    putchar('\n');
}

/* The words that the line of the option does not have. */
static void put_values(const struct option_row *row)
{
    for (size_t i = 0; row->words == NULL && option_listed(row, i) != NULL; i++)
        printf("value --%s %s\n", row->name, option_listed(row, i));
}

static bool is_time(const char *word)
{
    struct options options = {0};
    return option_store(option_find("timeout", strlen("timeout")), word, &options, NULL) == 0;
}

static bool is_size(const char *word)
{
    struct options options = {0};
    return option_store(option_find("volume", strlen("volume")), word, &options, NULL) == 0;
}

static bool is_limit(const char *word)
{
    struct threshold_list list;
    struct err err = {0};
    return threshold_parse(&list, "", word, &err) == 0;
}

/* Each unit of up to two letters that the parser accepts behind a number. */
static void put_units(const char *of, bool (*accepts)(const char *))
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
    char word[4] = "1";

    for (const char *first = letters; *first != '\0'; first++) {
        word[1] = *first;
        word[2] = '\0';
        if (accepts(word))
            printf("unit %s %c\n", of, *first);
        for (const char *second = letters; *second != '\0'; second++) {
            word[2] = *second;
            if (accepts(word))
                printf("unit %s %c%c\n", of, *first, *second);
        }
    }
}

static void put_escapes(void)
{
    for (char letter = '!'; letter <= '~'; letter++) {
        struct script script = {0};
        struct err err = {0};
        const char plain[] = {'\\', letter, '\0'}, hexadecimal[] = {'\\', letter, '4', '1', '\0'};
        if (script_add(&script, SCRIPT_SEND, plain, &err) == 0)
            printf("value --send \\%c\n", letter);
        else if (script_add(&script, SCRIPT_SEND, hexadecimal, &err) == 0)
            printf("value --send \\%cHH\n", letter);
        script_free(&script);
    }
}

static void put_protocol(void)
{
    static const char *const sentences[] = {
        GREETING_WELCOME, GREETING_QUESTION, GREETING_HELLO "NAME" GREETING_HELLO_END,
        GREETING_GOODBYE, GREETING_TOO_LONG, GREETING_TOO_MANY,
        GREETING_EXIT};
    char shown[128];

    for (size_t i = 0; i < sizeof sentences / sizeof sentences[0]; i++)
        printf("protocol %s\n",
               escape_quoted((struct bytes){sentences[i], strlen(sentences[i])}, shown, sizeof shown));
    for (unsigned key = 0; key < WHOAMI_KEY_COUNT; key++) {
        struct bytes head = whoami_head((enum whoami_key)key);
        printf("protocol %.*sVALUE (whoami)\n", (int)head.length, head.data);
    }
}

int main(void)
{
    for (size_t i = 0; i < option_row_count; i++) {
        put_option(&option_rows[i]);
        put_values(&option_rows[i]);
    }
    put_escapes();
    put_units("TIME", is_time);
    put_units("BYTES", is_size);
    put_units("SPEC", is_limit);
    put_protocol();
    for (int state = PROBE_PLUGIN_OK; state <= PROBE_PLUGIN_UNKNOWN; state++)
        printf("plugin %s, exit code %d\n", probe_plugin_word(state), state);
    for (unsigned reason = 0; reason < ERR_REASON_COUNT; reason++)
        printf("reason %s, exit code %d\n", err_word((enum err_reason)reason),
               err_exit_code((enum err_reason)reason));
    for (unsigned end = 0; end < SESSION_ENDS; end++)
        if (server_log_end_word((enum session_end)end) != NULL)
            printf("end %s\n", server_log_end_word((enum session_end)end));
    for (unsigned result = LIMITS_ACCEPTED + 1; result < LIMITS_RESULTS; result++)
        printf("limit %s\n", server_log_limit_word((enum limits_result)result));
    return fflush(stdout) == 0 && !ferror(stdout) ? 0 : 1;
}
