#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <uv.h>

#include "support/folder.h"
#include "support/loop_close.h"

static int start_thread(uv_thread_t *thread, uv_thread_cb entry, void *context);

/* The module is compiled into this program, with threads that cannot always be started. */
#define uv_thread_create start_thread
#include "server/certificate_watch.c"
#undef uv_thread_create

enum { PATHS = 8, SETTLE_MS = 100, STUCK_MS = 60000 };

/* A folder with files, and how often they were reported as changed. */
struct place {
    struct folder folder;
    char cert[PATH_BYTES];
    char more[PATH_BYTES];
    struct tls_server_config config;
    struct certificate_watch *watch;
    int changes;
};

static unsigned refusals;

static int start_thread(uv_thread_t *thread, uv_thread_cb entry, void *context)
{
    if (refusals == 0)
        return uv_thread_create(thread, entry, context);
    refusals--;
    return UV_EAGAIN;
}

static uv_loop_t loop;
static uv_timer_t stuck;

static const char *at(const struct place *place, const char *name)
{
    static char paths[PATHS][PATH_BYTES]; /* so many at a time */
    static size_t used;
    char *path = paths[used++ % PATHS];
    (void)snprintf(path, PATH_BYTES, "%s/%s", place->folder.path, name);
    return path;
}

static void put(struct place *place, const char *name, const char *text)
{
    FILE *file = fopen(at(place, name), "w");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

static void move(struct place *place, const char *from, const char *to)
{
    assert_int_equal(rename(at(place, from), at(place, to)), 0);
}

static void link_to(struct place *place, const char *target, const char *name)
{
    assert_int_equal(symlink(target, at(place, name)), 0);
}

static void make(struct place *place, const char *name)
{
    assert_int_equal(mkdir(at(place, name), 0700), 0);
}

static void on_changed(void *context)
{
    struct place *place = context;
    place->changes++;
    uv_stop(&loop);
}

/* Watches a file of the folder, and `more`, NULL for none. */
static void watch(struct place *place, const char *name, const char *more)
{
    (void)snprintf(place->cert, sizeof place->cert, "%s/%s", place->folder.path, name);
    (void)snprintf(place->more, sizeof place->more, "%s", more != NULL ? more : "");
    place->config = (struct tls_server_config){.identities = {{.cert = place->cert}},
                                               .client_ca = more != NULL ? place->more : NULL};
    place->watch = certificate_watch_new(&place->config, NULL);
    assert_non_null(place->watch);
    certificate_watch_start(place->watch, &loop,
                            &(struct certificate_watch_use){SETTLE_MS, on_changed, place});
}

static void on_stuck(uv_timer_t *timer)
{
    (void)timer;
    fail_msg("nothing was reported");
}

static void await(const int *count, int expected)
{
    while (*count < expected)
        (void)uv_run(&loop, UV_RUN_DEFAULT);
}

static size_t open_places;

static void open_place(struct place *place)
{
    *place = (struct place){0};
    folder_make(&place->folder);
    open_places++;
}

static void close_place(struct place *place)
{
    (void)certificate_watch_close(place->watch); /* a look that is under way ends in tear_down */
    folder_remove(&place->folder);
    open_places--;
}

static int set_up(void **state)
{
    (void)state;
    open_places = 0;
    return uv_loop_init(&loop) != 0 || uv_timer_init(&loop, &stuck) != 0 ||
           uv_timer_start(&stuck, on_stuck, STUCK_MS, 0) != 0;
}

static void count_handle(uv_handle_t *handle, void *count)
{
    (void)handle;
    ++*(size_t *)count;
}

static int tear_down(void **state)
{
    size_t handles = 2;
    (void)state;
    while (open_places == 0 && handles > 1) { /* but that of `stuck` */
        (void)uv_run(&loop, UV_RUN_ONCE);
        handles = 0;
        uv_walk(&loop, count_handle, &handles);
    }
    loop_close(&loop); /* with what a test that failed has left */
    return 0;
}

/* All at once: each takes the time to settle. */
static void every_way_to_replace_a_file_is_reported(void **state)
{
    enum { PLACES = 6 };
    static struct place places[PLACES];
    (void)state;
    for (int i = 0; i < PLACES; i++)
        open_place(&places[i]);

    put(&places[0], "tls.crt", "old"); /* written again */
    watch(&places[0], "tls.crt", NULL);
    put(&places[1], "tls.crt", "old"); /* replaced by another file, of the same size */
    watch(&places[1], "tls.crt", NULL);
    make(&places[2], "..2026_1"); /* as Kubernetes does */
    put(&places[2], "..2026_1/tls.crt", "old");
    link_to(&places[2], "..2026_1", "..data");
    link_to(&places[2], "..data/tls.crt", "tls.crt");
    watch(&places[2], "tls.crt", NULL);
    make(&places[3], "live"); /* as certbot does */
    make(&places[3], "archive");
    put(&places[3], "archive/cert1.pem", "old");
    put(&places[3], "archive/cert2.pem", "new");
    link_to(&places[3], "../archive/cert1.pem", "live/cert.pem");
    watch(&places[3], "live/cert.pem", NULL);
    make(&places[4], "1"); /* a link above the folder of the file */
    make(&places[4], "2");
    put(&places[4], "1/tls.crt", "old");
    put(&places[4], "2/tls.crt", "new");
    link_to(&places[4], at(&places[4], "1"), "current");
    watch(&places[4], "current/tls.crt", NULL);
    make(&places[5], "cas"); /* in a directory of CAs */
    put(&places[5], "tls.crt", "same");
    put(&places[5], "cas/a.pem", "old");
    watch(&places[5], "tls.crt", at(&places[5], "cas/"));

    put(&places[0], "tls.crt", "newer");
    put(&places[1], "tls.crt.new", "new");
    move(&places[1], "tls.crt.new", "tls.crt");
    make(&places[2], "..2026_2");
    put(&places[2], "..2026_2/tls.crt", "new");
    link_to(&places[2], "..2026_2", "..data_tmp");
    move(&places[2], "..data_tmp", "..data");
    link_to(&places[3], "../archive/cert2.pem", "live/new");
    move(&places[3], "live/new", "live/cert.pem");
    link_to(&places[4], at(&places[4], "2"), "new");
    move(&places[4], "new", "current");
    put(&places[5], "cas/b.pem", "new");
    for (int i = 0; i < PLACES; i++)
        await(&places[i].changes, 1);

    put(&places[2], "..2026_2/tls.crt", "newest"); /* watched where it leads now */
    put(&places[4], "2/tls.crt", "newest");
    await(&places[2].changes, 2);
    await(&places[4].changes, 2);
    for (int i = 0; i < PLACES; i++)
        close_place(&places[i]);
}

/* Returns: how many threads this process has; 0: not known. */
static size_t count_threads(void)
{
    DIR *tasks = opendir("/proc/self/task");
    size_t count = 0;
    const struct dirent *entry;
    while (tasks != NULL && (entry = readdir(tasks)) != NULL)
        count += entry->d_name[0] != '.';
    if (tasks != NULL)
        (void)closedir(tasks);
    return count;
}

/* Those of libuv's pool would stay, and it aborts the process where it cannot start them. */
static void the_pool_of_libuv_is_not_used(void **state)
{
    static struct place place;
    const size_t before = count_threads();
    (void)state;
    open_place(&place);
    put(&place, "tls.crt", "old");
    watch(&place, "tls.crt", NULL);
    put(&place, "tls.crt", "new");
    await(&place.changes, 1);
    assert_true(count_threads() <= before + 1); /* one more look may be under way */
    close_place(&place);
}

static void a_look_for_which_no_thread_can_be_started_comes_later(void **state)
{
    static struct place place;
    (void)state;
    open_place(&place);
    put(&place, "tls.crt", "old");
    refusals = 1;
    watch(&place, "tls.crt", NULL);
    put(&place, "tls.crt", "new");
    await(&place.changes, 1);
    assert_int_equal(refusals, 0);
    close_place(&place);
}

static void several_changes_are_one_and_other_files_none(void **state)
{
    static struct place changed, other, late;
    (void)state;
    open_place(&changed);
    open_place(&other);
    open_place(&late);
    put(&changed, "tls.crt", "old");
    put(&other, "tls.crt", "old");
    put(&late, "tls.crt", "old");
    watch(&changed, "tls.crt", NULL);
    watch(&other, "tls.crt", NULL);
    watch(&late, "tls.crt", NULL);
    put(&other, "something", "else");
    for (int i = 0; i < 100; i++)
        put(&changed, "tls.crt", i % 2 == 0 ? "new" : "newer");
    await(&changed.changes, 1);
    put(&late, "tls.crt", "new");
    await(&late.changes, 1); /* longer than the others need to settle */
    assert_int_equal(changed.changes, 1);
    assert_int_equal(other.changes, 0);
    close_place(&changed);
    close_place(&other);
    close_place(&late);
}

static void what_changes_before_it_is_watched_is_reported(void **state)
{
    static struct place place;
    (void)state;
    open_place(&place);
    put(&place, "tls.crt", "old");
    (void)snprintf(place.cert, sizeof place.cert, "%s/tls.crt", place.folder.path);
    place.config.identities[0].cert = place.cert;
    place.watch = certificate_watch_new(&place.config, NULL);
    put(&place, "tls.crt", "newer");
    certificate_watch_start(place.watch, &loop,
                            &(struct certificate_watch_use){SETTLE_MS, on_changed, &place});
    await(&place.changes, 1);
    close_place(&place);
}

static void a_file_that_is_gone_for_good_is_reported_and_so_is_its_return(void **state)
{
    static struct place place;
    (void)state;
    open_place(&place);
    put(&place, "tls.crt", "old");
    watch(&place, "tls.crt", NULL);
    assert_int_equal(unlink(at(&place, "tls.crt")), 0);
    await(&place.changes, 1);
    put(&place, "tls.crt", "old");
    await(&place.changes, 2);
    close_place(&place);
}

static void links_in_a_circle_and_folders_that_are_not_there_do_no_harm(void **state)
{
    static struct place circle, absent;
    (void)state;
    open_place(&circle);
    open_place(&absent);
    link_to(&circle, "b", "a");
    link_to(&circle, "a", "b");
    watch(&circle, "a", NULL);
    watch(&absent, "nowhere/tls.crt", NULL);
    assert_int_equal(unlink(at(&circle, "a")), 0);
    put(&circle, "a", "new");
    await(&circle.changes, 1);
    close_place(&circle);
    close_place(&absent);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(the_pool_of_libuv_is_not_used), /* nor was it before */
        TEST(every_way_to_replace_a_file_is_reported),
        TEST(a_look_for_which_no_thread_can_be_started_comes_later),
        TEST(several_changes_are_one_and_other_files_none),
        TEST(what_changes_before_it_is_watched_is_reported),
        TEST(a_file_that_is_gone_for_good_is_reported_and_so_is_its_return),
        TEST(links_in_a_circle_and_folders_that_are_not_there_do_no_harm),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
