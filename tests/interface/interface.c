/* Prints the parts of the program's interface that its own tables define, for scripts/check-interface: each
 * option with its argument, default, range and modes, each reason with its exit code, each other word for the
 * end or the rejection of a connection. */
#include <stdio.h>

#include "cli/table.h"
#include "server/log.h"

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

int main(void)
{
    for (size_t i = 0; i < option_row_count; i++)
        put_option(&option_rows[i]);
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
