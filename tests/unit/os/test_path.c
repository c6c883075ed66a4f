#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tcpgreet/os/path.h"

/* Directories and links:
 *   a/file, a/b/file, a/b/..data -> ..1, a/b/..1/key, a/b/key -> ..data/key, up -> a/b/../file, down ->
 * /…/a/b, loop -> loop, nowhere -> no/thing
 */
static char folder[] = "/tmp/tcpgreet-path-XXXXXX";

static void make_file(const char *path)
{
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_int_equal(fclose(file), 0);
}

static int set_up(void **state)
{
    char absolute[64];
    (void)state;
    if (mkdtemp(folder) == NULL || chdir(folder) < 0)
        return -1;
    (void)snprintf(absolute, sizeof absolute, "%s/a/b", folder);
    if (mkdir("a", S_IRWXU) < 0 || mkdir("a/b", S_IRWXU) < 0 || mkdir("a/b/..1", S_IRWXU) < 0)
        return -1;
    make_file("a/file");
    make_file("a/b/file");
    make_file("a/b/..1/key");
    return symlink("..1", "a/b/..data") == 0 && symlink("..data/key", "a/b/key") == 0 &&
                   symlink("a/b/../file", "up") == 0 && symlink(absolute, "down") == 0 &&
                   symlink("loop", "loop") == 0 && symlink("no/thing", "nowhere") == 0
               ? 0
               : -1;
}

static int tear_down(void **state)
{
    static const char *const made[] = {"nowhere",  "loop",       "down",        "up",
                                       "a/b/key",  "a/b/..data", "a/b/..1/key", "a/file",
                                       "a/b/file", "a/b/..1",    "a/b",         "a"};
    (void)state;
    for (size_t i = 0; i < sizeof made / sizeof made[0]; i++)
        (void)remove(made[i]);
    return chdir("/") == 0 && rmdir(folder) == 0 ? 0 : -1;
}

/* Appends "DIRECTORY:TARGET " for a link, "DIRECTORY! " for the last name of all. */
static void on_step(void *context, const struct path_step *step)
{
    char *text = context;
    size_t length = strlen(text);
    (void)snprintf(text + length, 512 - length, "%s%s%s%s", step->directory, step->target != NULL ? ":" : "",
                   step->target != NULL ? step->target : "", step->is_last ? "! " : " ");
}

/* Shape: to NULL: it leads to nothing. */
static void assert_walk(const char *path, const char *steps, const char *to)
{
    char text[512] = "", end[PATH_BYTES] = "";
    assert_int_equal(path_walk(path, on_step, text, end), to != NULL);
    assert_string_equal(text, steps);
    if (to != NULL)
        assert_string_equal(end, to);
}

static void path_without_links_has_one_step(void **state)
{
    (void)state;
    assert_walk("a/b/file", "a/b! ", "a/b/file");
    assert_walk("./a//b/./file", "a/b! ", "a/b/file");
    assert_walk("a", ".! ", "a");
    assert_walk("a/b/", "a! ", "a/b");
    assert_walk("/", "", "/");
    assert_walk(".", ".! ", ".");
}

static void parent_is_above_what_a_link_led_to(void **state)
{
    char text[512] = "", end[PATH_BYTES];
    (void)state;
    assert_walk("a/b/../file", "a! ", "a/file");
    assert_walk("a/b/../../up", ".:a/b/../file! a! ", "a/file");
    assert_walk("up", ".:a/b/../file! a! ", "a/file");
    assert_true(path_walk("down/../file", on_step, text, end));
    assert_string_equal(strrchr(end, '/'), "/file");
    assert_string_equal(end + strlen(folder), "/a/file");
    assert_walk("..", ".! ", "..");
    assert_walk("../..", "..! ", "../..");
    assert_walk("/../../", "/! ", "/");
}

static void each_link_is_a_step(void **state)
{
    char text[512] = "", end[PATH_BYTES], expected[512];
    (void)state;
    assert_walk("a/b/key", "a/b:..data/key! a/b:..1 a/b/..1! ", "a/b/..1/key");
    assert_walk("a/b/..data/key", "a/b:..1 a/b/..1! ", "a/b/..1/key");
    assert_true(path_walk("down/file", on_step, text, end));
    (void)snprintf(expected, sizeof expected, ".:%s/a/b %s/a/b! ", folder, folder);
    assert_string_equal(text, expected);
}

static void path_that_leads_nowhere_has_its_steps_too(void **state)
{
    (void)state;
    assert_walk("a/missing", "a! ", NULL);
    assert_walk("missing/file", "missing! ", NULL);
    assert_walk("missing/../a/file", "a! ", NULL);
    assert_walk("nowhere", ".:no/thing! no! ", NULL);
    assert_walk("", "", NULL);
}

static void ignore(void *context, const struct path_step *step)
{
    (void)step;
    ++*(int *)context;
}

static void links_and_lengths_without_end_are_given_up(void **state)
{
    char longest[2 * PATH_BYTES], end[PATH_BYTES];
    int steps = 0;
    (void)state;
    assert_false(path_walk("loop", ignore, &steps, end));
    assert_int_equal(steps, 41);
    memset(longest, 'x', sizeof longest - 1);
    longest[sizeof longest - 1] = '\0';
    assert_false(path_walk(longest, ignore, &steps, end));
    longest[PATH_BYTES - 1] = '\0';
    assert_false(path_walk(longest, ignore, &steps, end)); /* a name that is too long */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(path_without_links_has_one_step),
        cmocka_unit_test(parent_is_above_what_a_link_led_to),
        cmocka_unit_test(each_link_is_a_step),
        cmocka_unit_test(path_that_leads_nowhere_has_its_steps_too),
        cmocka_unit_test(links_and_lengths_without_end_are_given_up),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
