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

static bool is_value(const struct option_row *row, const char *word)
{
    static struct options scratch;

    return word == NULL || option_store(row, word, &scratch, NULL) == 0;
}

static bool has_fields_of_its_kind(const struct option_row *row)
{
    bool several = row->kind == &option_listener || row->kind == &option_cert || row->kind == &option_key;

    for (size_t mode = 0; mode < MODE_COUNT; mode++) {
        size_t size = row->fields[mode].size;
        if (size % row->kind->size != 0 || (size > row->kind->size && !several))
            return false;
    }
    return true;
}

static bool is_well_formed(const struct option_row *row)
{
    bool number = row->kind == &option_integer || row->kind == &option_duration ||
                  row->kind == &option_bytes || row->kind == &option_days;
    bool choice = row->kind == &option_choice || row->kind == &option_either;
    bool chooses = row->group == OPTION_GROUP_MODE || row->group == OPTION_GROUP_ABOUT;

    return is_value(row, row->fallback) && is_value(row, row->least) && is_value(row, row->most) &&
           has_fields_of_its_kind(row) && (row->letter == '\0' || row->kind == &option_flag) &&
           (row->least != NULL) == number && (row->words != NULL) == choice &&
           (chooses || choice || (row->argument == NULL) == (row->kind == &option_flag)) &&
           (row->mode != MODE_NONE) == chooses && (chooses || option_modes(row) != 0) &&
           (row->needs == NULL || option_find(row->needs, strlen(row->needs)) != NULL);
}

static void the_words_of_starttls_are_its_protocols(void **state)
{
    const struct option_word *word = option_find("starttls", strlen("starttls"))->words;
    (void)state;
    for (int protocol = STARTTLS_NONE + 1; protocol < STARTTLS_PROTOCOLS; protocol++, word++) {
        assert_string_equal(word->name, starttls_word((enum starttls_protocol)protocol));
        assert_int_equal(word->value, protocol);
    }
    assert_null(word->name);
}

static void the_table_keeps_its_invariants(void **state)
{
    (void)state;
    for (size_t i = 0; i < option_row_count; i++) {
        const struct option_row *row = &option_rows[i];
        if (!is_well_formed(row) || (i > 0 && row->group < row[-1].group))
            fail_msg("the row of --%s", row->name);
        assert_ptr_equal(option_find(row->name, strlen(row->name)), row);
        if (row->letter != '\0')
            assert_ptr_equal(option_find_letter(row->letter), row);
    }
}

/* One list of all, in the order of the command line. */
static bool is_step(const struct option_row *row)
{
    return row->kind == &option_send || row->kind == &option_expect || row->kind == &option_reject;
}

/* No two options write to the same place, but for a certificate's file and its key's, and steps. */
static void every_field_has_one_option(void **state)
{
    (void)state;
    for (size_t i = 0; i < option_row_count; i++)
        for (size_t j = 0; j < i; j++)
            for (size_t mode = 0; mode < MODE_COUNT; mode++) {
                const struct option_field *a = &option_rows[i].fields[mode];
                const struct option_field *b = &option_rows[j].fields[mode];
                bool apart = a->size == 0 || b->size == 0 || a->offset + a->size <= b->offset ||
                             b->offset + b->size <= a->offset;
                bool together = is_step(&option_rows[i]) && is_step(&option_rows[j]);
                if (!apart && !together && option_rows[i].kind != &option_key)
                    fail_msg("--%s and --%s", option_rows[i].name, option_rows[j].name);
            }
}

static void the_range_of_workers_is_what_servers_and_benches_have_room_for(void **state)
{
    const struct option_row *row = option_find("workers", strlen("workers"));
    static struct options parsed;
    (void)state;

    assert_int_equal(option_store(row, row->most, &parsed, NULL), 0);
    assert_int_equal(parsed.server.workers, SERVER_WORKERS_MAX);
    assert_int_equal(parsed.bench.workers, BENCH_WORKERS_MAX);
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
    for (size_t i = 0; i < option_row_count; i++) {
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
    for (size_t i = 0; i < option_row_count; i++) {
        const struct option_row *row = &option_rows[i];
        if (row->letter != '\0')
            snprintf(item, sizeof(item), "\n.It Fl %c , Fl -%s", row->letter, row->name);
        else
            snprintf(item, sizeof(item), "\n.It Fl -%s", row->name);
        if (!mentions(text, item))
            fail_msg("--%s is missing", row->name);
    }
    assert_int_equal(count(text, "\n.It Fl "), option_row_count + 1); /* and "--" */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_table_keeps_its_invariants),
        cmocka_unit_test(the_words_of_starttls_are_its_protocols),
        cmocka_unit_test(every_field_has_one_option),
        cmocka_unit_test(the_range_of_workers_is_what_servers_and_benches_have_room_for),
        cmocka_unit_test(help_fits_eighty_columns_and_begins_with_the_usage),
        cmocka_unit_test(help_shows_every_option),
        cmocka_unit_test(the_manual_explains_every_option_and_nothing_else),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
