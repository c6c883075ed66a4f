#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "support/names_known.h"
#include "support/watched.h"
#include "tcpgreet/net/resolver.h"

typedef void *thread_main(void *);

static int create_thread(pthread_t *thread, const pthread_attr_t *attributes, thread_main *entry,
                         void *context);

/* The module is compiled into this program, with as many threads as the test has them. */
#define pthread_create create_thread
#include "net/resolver_questions.c"
#undef pthread_create

enum { ALL = 1000 };

static unsigned allowed, created;

static int create_thread(pthread_t *thread, const pthread_attr_t *attributes, thread_main *entry,
                         void *context)
{
    if (created == allowed)
        return EAGAIN;
    created++;
    return pthread_create(thread, attributes, entry, context);
}

static const struct known_name names[] = {
    {.name = "both.example", .v6 = {"::1"}, .v4 = {"127.0.0.1"}},
    {.name = "slow.example", .v6 = {"::1"}, .v4 = {"127.0.0.1"}, .slow_v6 = true, .slow_v4 = true},
    {0},
};

static struct watched watched;
static unsigned answers, addresses;

static void on_answer(void *context, const struct resolver_answer *answer)
{
    (void)context;
    answers++;
    addresses += (unsigned)answer->count;
}

static int set_up(void **state)
{
    (void)state;
    names_know(names);
    watched_open(&watched);
    created = answers = addresses = 0;
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    watched_close(&watched);
    names_await_end();
    return 0;
}

static struct resolver *start(const char *host, bool want_v6, struct err *err)
{
    struct target target;
    struct resolver_query query = {&target, want_v6, true};
    if (target_parse(&target, host, "6000", err) < 0)
        fail_msg("%s", err->text);
    return resolver_start(&watched.loop, &query, on_answer, NULL, err);
}

static void a_name_without_any_thread_is_an_error(void **state)
{
    struct err err = {0};
    (void)state;

    allowed = 0;
    assert_null(start("both.example", true, &err));
    assert_int_equal(err.reason, ERR_SYSTEM_OTHER);
    assert_int_equal(err.native, EAGAIN);
    assert_string_equal(err.text,
                        "cannot resolve both.example: no thread can be started: Resource temporarily "
                        "unavailable (raise ulimit -u or -v, or pids.max of the control group)");
    assert_int_equal(resolver_pending(), 0);
    watched_run(&watched, NULL);
    assert_int_equal(answers, 0);
}

static void a_literal_needs_no_thread(void **state)
{
    struct err err = {0};
    (void)state;

    allowed = 0;
    struct resolver *resolver = start("127.0.0.1", true, &err);
    assert_non_null(resolver);
    watched_run(&watched, NULL);
    assert_int_equal(addresses, 1);
    resolver_cancel(resolver);
}

static void one_thread_answers_both_families(void **state)
{
    struct err err = {0};
    (void)state;

    allowed = 1;
    struct resolver *resolver = start("both.example", true, &err);
    assert_non_null(resolver);
    watched_run(&watched, NULL);
    assert_int_equal(answers, 2);
    assert_int_equal(addresses, 2);
    resolver_cancel(resolver);
}

static void names_wait_for_the_threads_there_are(void **state)
{
    struct err err = {0};
    struct resolver *resolvers[3];
    (void)state;

    allowed = 1;
    resolvers[0] = start("slow.example", false, &err);
    assert_non_null(resolvers[0]);
    names_await_slow(1);
    for (size_t i = 1; i < 3; i++) {
        resolvers[i] = start("both.example", true, &err);
        assert_non_null(resolvers[i]);
    }
    assert_int_equal(resolver_pending(), 3);
    resolver_cancel(resolvers[1]); /* before it is asked */
    assert_int_equal(resolver_pending(), 2);
    names_let_go(1);
    watched_run(&watched, NULL);
    assert_int_equal(answers, 3);
    assert_int_equal(created, 1);
    resolver_cancel(resolvers[0]);
    resolver_cancel(resolvers[2]);
}

static void the_number_of_threads_is_bounded(void **state)
{
    enum { NAMES = THREADS_MAX + 20 };
    static struct resolver *resolvers[NAMES];
    struct err err = {0};
    (void)state;

    allowed = ALL;
    for (size_t i = 0; i < NAMES; i++) {
        resolvers[i] = start("slow.example", false, &err);
        assert_non_null(resolvers[i]);
    }
    names_await_slow(THREADS_MAX);
    assert_int_equal(created, THREADS_MAX);
    assert_int_equal(resolver_pending(), NAMES);
    names_let_go(NAMES);
    watched_run(&watched, NULL);
    assert_int_equal(addresses, NAMES);
    assert_int_equal(created, THREADS_MAX);
    for (size_t i = 0; i < NAMES; i++)
        resolver_cancel(resolvers[i]);
}

/* The last test: threads are detached from then on. */
static void a_process_may_be_left_to_what_is_forgotten(void **state)
{
    struct err err = {0};
    (void)state;

    allowed = ALL;
    struct resolver *resolver = start("slow.example", true, &err);
    assert_non_null(resolver);
    names_await_slow(2);
    resolver_cancel(resolver);
    assert_true(resolver_leave());
    names_let_go(2);
    names_await_end();
    assert_false(resolver_leave());
    assert_int_equal(answers, 0);
}

int main(void)
{
#define THREADS_TEST(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        THREADS_TEST(a_name_without_any_thread_is_an_error),
        THREADS_TEST(a_literal_needs_no_thread),
        THREADS_TEST(one_thread_answers_both_families),
        THREADS_TEST(names_wait_for_the_threads_there_are),
        THREADS_TEST(the_number_of_threads_is_bounded),
        THREADS_TEST(a_process_may_be_left_to_what_is_forgotten),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
