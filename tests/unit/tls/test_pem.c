#include <openssl/err.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "tls/pem.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define A "-----BEGIN A-----\nQUJD\n-----END A-----"
#define B "-----BEGIN X Y-----\r\nQUJD\r\n-----END X Y-----\r\n"

/* The content of a file, and the message about it; NULL: none. */
static const struct {
    const char *text;
    const char *sentence;
} cases[] = {
    {"", NULL},
    {"nothing of the kind\n", NULL},
    {A, NULL},
    {A "\n" B, NULL},
    {"Bag Attributes\n  name: x\n" A "  \t\n# -----BEGIN A-----\nsubject=CN = x\n" B, NULL},
    {A A, "in line 3 a BEGIN or END is not on a line of its own"},
    {A " " A, "in line 3 a BEGIN or END is not on a line of its own"},
    {"subject=x" A, "in line 1 a BEGIN or END is not on a line of its own"},
    {" " A, "in line 1 a BEGIN or END is not on a line of its own"},
    {"\xef\xbb\xbf" A, "in line 1 a BEGIN or END is not on a line of its own"},
    {B "\n-----BEGIN A----- x\n", "in line 5 a BEGIN or END is not on a line of its own"},
    {"-----BEGIN A-----\nQUJD-----END A-----\n", "in line 2 a BEGIN or END is not on a line of its own"},
    {"-----BEGIN A-----\rQUJD\r-----END A-----\r", "in line 1 a BEGIN or END is not on a line of its own"},
    {A "\n-----BEGIN B-----\nQUJD\n", "block 2 (B) was cut off, its END line is missing"},
    {A "\n-----BEGIN B-----", "block 2 (B) was cut off, its END line is missing"},
    {"-----BEGIN B-----\nQUJD\n" A, "block 1 (B) was cut off, its END line is missing"},
    {"-----BEGIN \x1b[2J-----\n", "block 1 (\\x1b[2J) was cut off"},
    {"-----BEGIN A-----\nQUJD\n-----END B-----\n", "the END in line 3 has no BEGIN before it"},
    {A "\nQUJD\n-----END A-----\n", "the END in line 5 has no BEGIN before it"},
    {"-----BEGIN A", "in line 1 a BEGIN or END"},
};

static void a_damaged_block_is_named_by_its_number_or_its_line(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        char text[256];
        snprintf(text, sizeof text, "%s", cases[i].text);
        const struct file file = {.data = text, .length = strlen(text)};
        struct err err = {0};
        int result = tls_pem_check("--ca", "x.pem", &file, &err);
        assert_int_equal(result, cases[i].sentence == NULL ? 0 : -1);
        if (cases[i].sentence != NULL && (strncmp(err.text, "--ca x.pem is damaged: ", 23) != 0 ||
                                          strstr(err.text, cases[i].sentence) == NULL))
            fail_msg("case %zu: message \"%s\"", i, err.text);
        assert_int_equal(err.reason, cases[i].sentence == NULL ? ERR_OK : ERR_SYSTEM_FILE);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_damaged_block_is_named_by_its_number_or_its_line),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
