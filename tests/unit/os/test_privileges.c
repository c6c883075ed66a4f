#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <pwd.h>
#include <string.h>

static struct passwd *scripted_getpwnam(const char *name);

/* The module is compiled into this program, with a list of users that ends as the test has it. */
#define getpwnam scripted_getpwnam
#include "os/privileges.c"
#undef getpwnam

static struct passwd *found;
static int failure;

static struct passwd *scripted_getpwnam(const char *name)
{
    assert_string_equal(name, "greeter");
    errno = failure;
    return found;
}

static void assert_fails(int native, enum err_reason reason, const char *text)
{
    struct privileges_user user;
    struct err err = {0};
    failure = native;
    assert_int_equal(privileges_find("greeter", &user, &err), -1);
    assert_int_equal(err.reason, reason);
    assert_string_equal(err.text, text);
}

static void user_that_does_not_exist_is_a_usage_error(void **state)
{
    static const int natives[] = {0, ENOENT, ESRCH, EBADF, EPERM};
    (void)state;
    found = NULL;
    for (size_t i = 0; i < sizeof natives / sizeof natives[0]; i++)
        assert_fails(natives[i], ERR_USAGE,
                     "--user greeter: there is no user of this name (give a name, not a number or a group; "
                     "getent passwd lists them)");
}

static void user_that_cannot_be_looked_up_is_a_failure_of_the_system(void **state)
{
    static const struct {
        int native;
        enum err_reason reason;
    } cases[] = {{EMFILE, ERR_SYSTEM_DESCRIPTORS},
                 {ENFILE, ERR_SYSTEM_DESCRIPTORS},
                 {ENOMEM, ERR_INTERNAL},
                 {EIO, ERR_SYSTEM_FILE},
                 {EINTR, ERR_SYSTEM_OTHER}};
    (void)state;
    found = NULL;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char text[128];
        (void)snprintf(text, sizeof text, "--user greeter: cannot look this user up: %s",
                       strerror(cases[i].native));
        assert_fails(cases[i].native, cases[i].reason, text);
    }
}

static void root_is_a_usage_error(void **state)
{
    struct passwd root = {.pw_name = "greeter", .pw_uid = 0};
    (void)state;
    found = &root;
    assert_fails(0, ERR_USAGE,
                 "--user greeter: this user is root, and would keep its rights (name another user)");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(user_that_does_not_exist_is_a_usage_error),
        cmocka_unit_test(user_that_cannot_be_looked_up_is_a_failure_of_the_system),
        cmocka_unit_test(root_is_a_usage_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
