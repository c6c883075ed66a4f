#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "cli/table.h"
#include "tcpgreet/cli/options.h"

enum { HELP_COLUMNS = 80, TEXT_BYTES = 65536 };

static bool is_well_formed(const struct option_row *row)
{
    static struct options scratch;

    return (row->fallback == NULL || option_value(row, row->fallback, &scratch, NULL) == 0) &&
           (row->least == NULL || option_value(row, row->least, &scratch, NULL) == 0) &&
           (row->most == NULL || option_value(row, row->most, &scratch, NULL) == 0) &&
           (row->letter == '\0' || row->kind == OPTION_FLAG) &&
           (row->least != NULL) ==
               (row->kind == OPTION_INTEGER || row->kind == OPTION_DURATION || row->kind == OPTION_BYTES) &&
           (row->argument != NULL || row->kind == OPTION_FLAG) &&
           (row->mode != MODE_NONE) == (row->group == OPTION_GROUP_MODE || row->group == OPTION_GROUP_ABOUT);
}

static void the_table_keeps_its_invariants(void **state)
{
    (void)state;
    for (size_t i = 0; i < OPTION_ROWS; i++) {
        const struct option_row *row = &option_rows[i];
        if (!is_well_formed(row) || (i > 0 && row->group < row[-1].group))
            fail_msg("the row of --%s", row->name);
        assert_ptr_equal(option_find(row->name, strlen(row->name)), row);
        if (row->letter != '\0')
            assert_ptr_equal(option_find_letter(row->letter), row);
    }
}

static void read_help(char text[TEXT_BYTES])
{
    FILE *out = fmemopen(text, TEXT_BYTES, "w");

    assert_non_null(out);
    options_help(out);
    assert_int_equal(fclose(out), 0);
}

static void help_fits_eighty_columns_and_begins_with_the_usage(void **state)
{
    (void)state;
    static char text[TEXT_BYTES];

    read_help(text);
    assert_memory_equal(text, "Usage: tcpgreet --listen [HOST] PORT", 36);
    assert_non_null(strstr(text, "\n       tcpgreet --connect HOST PORT [NAME...]"));
    assert_non_null(strstr(text, "man tcpgreet"));
    for (const char *line = text; *line != '\0'; line += strcspn(line, "\n") + 1) {
        size_t length = strcspn(line, "\n");
        if (length > HELP_COLUMNS)
            fail_msg("%zu columns: %.*s", length, (int)length, line);
    }
}

/* Returns: whether text holds word with no letter, digit or dash behind it. */
static bool mentions(const char *text, const char *word)
{
    for (const char *at = text; (at = strstr(at, word)) != NULL; at++) {
        char next = at[strlen(word)];
        if (next != '-' && (next < '0' || next > '9') && (next < 'a' || next > 'z'))
            return true;
    }
    return false;
}

static void help_shows_every_option(void **state)
{
    (void)state;
    static char text[TEXT_BYTES];
    char name[64];

    read_help(text);
    for (size_t i = 0; i < OPTION_ROWS; i++) {
        snprintf(name, sizeof(name), "--%s", option_rows[i].name);
        if (!mentions(text, name))
            fail_msg("%s is missing", name);
        snprintf(name, sizeof(name), "  -%c, --%s", option_rows[i].letter, option_rows[i].name);
        if (option_rows[i].letter != '\0')
            assert_true(mentions(text, name));
    }
}

static size_t count(const char *text, const char *part)
{
    size_t n = 0;

    for (const char *at = text; (at = strstr(at, part)) != NULL; at++)
        n++;
    return n;
}

static void the_manual_explains_every_option_and_nothing_else(void **state)
{
    (void)state;
    static char text[TEXT_BYTES];
    char item[64];
    FILE *manual = fopen(TCPGREET_SOURCE_DIR "/man/tcpgreet.1", "r");

    assert_non_null(manual);
    size_t length = fread(text, 1, sizeof(text) - 1, manual);
    text[length] = '\0';
    assert_int_equal(fclose(manual), 0);
    for (size_t i = 0; i < OPTION_ROWS; i++) {
        const struct option_row *row = &option_rows[i];
        if (row->letter != '\0')
            snprintf(item, sizeof(item), "\n.It Fl %c , Fl -%s", row->letter, row->name);
        else
            snprintf(item, sizeof(item), "\n.It Fl -%s", row->name);
        if (!mentions(text, item))
            fail_msg("--%s is missing", row->name);
    }
    assert_int_equal(count(text, "\n.It Fl "), OPTION_ROWS + 1); /* and "--" */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_table_keeps_its_invariants),
        cmocka_unit_test(help_fits_eighty_columns_and_begins_with_the_usage),
        cmocka_unit_test(help_shows_every_option),
        cmocka_unit_test(the_manual_explains_every_option_and_nothing_else),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
