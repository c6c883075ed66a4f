/* Writes the part of a shell's completion that follows from the table of options: completion bash|fish|zsh.
 * The build appends the part that does not, from the file beside this one. */
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "cli/table.h"

enum { WORDS_BYTES = 1024 };

static bool is_given(const struct option_row *row, const char *text)
{
    return row->argument != NULL && strncmp(row->argument, text, strlen(text)) == 0;
}

static bool takes_file(const struct option_row *row)
{
    return row->mode == MODE_NONE && (is_given(row, "FILE") || is_given(row, "PATH"));
}

static bool takes_argument(const struct option_row *row)
{
    return row->mode == MODE_NONE && row->kind != &option_flag;
}

/* A list of NAME=RANGE, separated by commas. */
static bool is_list(const struct option_row *row)
{
    return row->kind == &option_limits;
}

/* Returns: the words it takes, or with which they begin, separated by spaces; "". */
static const char *words_of(const struct option_row *row, char text[WORDS_BYTES])
{
    size_t length = 0;

    text[0] = '\0';
    for (size_t i = 0; option_listed(row, i) != NULL && length < WORDS_BYTES; i++) {
        int n = snprintf(text + length, WORDS_BYTES - length, "%s%s%s", i > 0 ? " " : "",
                         option_listed(row, i), is_list(row) ? "=" : "");
        length += n > 0 ? (size_t)n : 0;
    }
    return text;
}

/* Quotes for any of the three shells; backslashes are doubled where they would escape. */
static void put_quoted(const char *text, const char *escaped)
{
    for (; *text != '\0'; text++) {
        if (*text == '\'')
            fputs("'\\'", stdout);
        else if (strchr(escaped, *text) != NULL)
            putchar('\\');
        putchar(*text);
    }
}

static void put_help(const struct option_row *row, const char *escaped)
{
    put_quoted(row->help, escaped);
    if (row->fallback != NULL) {
        fputs(" (", stdout);
        put_quoted(row->fallback, escaped);
        putchar(')');
    }
}

/* The modes that accept the row, without their dashes. */
static void put_modes(const struct option_row *row)
{
    const char *space = "";

    for (size_t i = 0; i < option_row_count; i++) {
        const struct option_row *mode = &option_rows[i];
        if (mode->group == OPTION_GROUP_MODE && (option_modes(row) & OPTION_IN(mode->mode)) != 0) {
            printf("%s%s", space, mode->name);
            space = " ";
        }
    }
}

/* --- bash: maps from each option -------------------------------------------------------------------------
 */

static void put_bash_entry(const char *map, const struct option_row *row, const char *value)
{
    printf("_tcpgreet_%s[--%s]='%s'\n", map, row->name, value);
    if (row->letter != '\0')
        printf("_tcpgreet_%s[-%c]='%s'\n", map, row->letter, value);
}

static void bash_row(const struct option_row *row)
{
    char words[WORDS_BYTES];

    printf("_tcpgreet_modes[--%s]='", row->name);
    put_modes(row);
    puts("'");
    if (row->letter != '\0')
        printf("_tcpgreet_letters[--%s]=-%c\n", row->name, row->letter);
    if (row->repeatable)
        put_bash_entry("repeatable", row, "1");
    if (takes_argument(row))
        put_bash_entry("values", row, takes_file(row) ? "FILE" : words_of(row, words));
}

/* --- zsh: specifications of _arguments, each after its modes and a bar -----------------------------------
 */

static void put_zsh_spec(const struct option_row *row, const char *dashes, const char *name)
{
    char words[WORDS_BYTES];

    fputs("    '", stdout);
    if (row->group != OPTION_GROUP_ABOUT)
        put_modes(row);
    putchar('|');
    if (row->repeatable)
        putchar('*');
    else if (row->letter != '\0')
        printf("(-%c --%s)", row->letter, row->name);
    printf("%s%s%s[", dashes, name, takes_argument(row) ? "=" : "");
    put_help(row, "[]\\:");
    putchar(']');
    if (takes_file(row))
        printf(":%s:_files", is_given(row, "FILE") ? "file" : "file or directory");
    else if (is_list(row))
        printf(":value: _tcpgreet_list %s", words_of(row, words));
    else if (takes_argument(row)) {
        printf(":%s:(", row->argument != NULL ? "value" : row->name);
        put_quoted(words_of(row, words), ":");
        putchar(')');
    }
    puts("'");
}

static void zsh_row(const struct option_row *row)
{
    char letter[] = {row->letter, '\0'};

    put_zsh_spec(row, "--", row->name);
    if (row->letter != '\0')
        put_zsh_spec(row, "-", letter);
}

/* --- fish: a command for each option ---------------------------------------------------------------------
 */

static void fish_row(const struct option_row *row)
{
    char words[WORDS_BYTES];

    fputs("complete -c tcpgreet -n '__tcpgreet_accepts ", stdout);
    if (row->group == OPTION_GROUP_MODE && !row->repeatable)
        fputs("nothing", stdout);
    else
        put_modes(row);
    printf("' -l %s", row->name);
    if (row->letter != '\0')
        printf(" -s %c", row->letter);
    if (takes_file(row))
        fputs(" -r -F", stdout);
    else if (is_list(row))
        printf(" -x -a '(__fish_complete_list , \"string split \\\" \\\" \\\"%s\\\"\")'",
               words_of(row, words));
    else if (takes_argument(row))
        printf(" -x -a '%s'", words_of(row, words));
    fputs(" -d '", stdout);
    put_help(row, "\\");
    puts("'");
}

int main(int argc, char **argv)
{
    static const struct {
        const char *shell;
        const char *head;
        void (*put_row)(const struct option_row *row);
        const char *tail;
    } shells[] = {
        {"bash",
         "declare -gA _tcpgreet_modes=() _tcpgreet_letters=() _tcpgreet_repeatable=() _tcpgreet_values=()\n",
         bash_row, ""},
        {"fish", "", fish_row, ""},
        {"zsh", "#compdef tcpgreet\n_tcpgreet_specs=(\n", zsh_row, ")\n"},
    };

    for (size_t s = 0; argc == 2 && s < sizeof(shells) / sizeof(shells[0]); s++) {
        if (strcmp(argv[1], shells[s].shell) != 0)
            continue;
        fputs(shells[s].head, stdout);
        for (size_t i = 0; i < option_row_count; i++)
            shells[s].put_row(&option_rows[i]);
        fputs(shells[s].tail, stdout);
        return fflush(stdout) == 0 && !ferror(stdout) ? 0 : 1;
    }
    fputs("usage: completion bash|fish|zsh\n", stderr);
    return 2;
}
