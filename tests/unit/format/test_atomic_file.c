#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "support/folder.h"
#include "tcpgreet/format/atomic_file.h"

enum { PATH_BYTES = 200, TEXT_BYTES = 128, LARGE = 1 << 20, SMALL = 1 << 14 };

struct place {
    struct folder folder;
    char file[PATH_BYTES];
};

static int set_up(void **state)
{
    struct place *place = test_calloc(1, sizeof *place);
    folder_make(&place->folder);
    snprintf(place->file, sizeof place->file, "%s/file", place->folder.path);
    *state = place;
    return 0;
}

static int tear_down(void **state)
{
    struct place *place = *state;
    unlink(place->file);
    assert_int_equal(rmdir(place->folder.path), 0); /* nothing else was left there */
    test_free(place);
    return 0;
}

static void put(const char *path, const char *text)
{
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

static void expect(const char *path, const char *text)
{
    char found[TEXT_BYTES] = "";
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    size_t length = fread(found, 1, sizeof found - 1, file);
    fclose(file);
    found[length] = '\0';
    assert_string_equal(found, text);
}

static mode_t mode_of(const char *path)
{
    struct stat status;
    assert_int_equal(stat(path, &status), 0);
    return status.st_mode & 0777;
}

static void nothing_changes_until_it_is_closed(void **state)
{
    const struct place *place = *state;
    struct atomic_file file;
    struct err err = {0};

    put(place->file, "before");
    assert_int_equal(chmod(place->file, 0640), 0);
    assert_int_equal(atomic_file_open(&file, "--plot", place->file, &err), 0);
    fputs("after", file.out);
    fflush(file.out);
    expect(place->file, "before");
    assert_int_equal(atomic_file_close(&file, "--plot", &err), 0);
    expect(place->file, "after");
    assert_int_equal(mode_of(place->file), 0640);
}

static void a_new_file_has_the_permissions_of_new_files(void **state)
{
    const struct place *place = *state;
    struct atomic_file file;
    struct err err = {0};
    mode_t mask = umask(027);

    assert_int_equal(atomic_file_open(&file, "--plot", place->file, &err), 0);
    assert_int_equal(access(place->file, F_OK), -1);
    fputs("new", file.out);
    assert_int_equal(atomic_file_close(&file, "--plot", &err), 0);
    umask(mask);
    expect(place->file, "new");
    assert_int_equal(mode_of(place->file), 0640);
}

static void a_link_stays_one(void **state)
{
    const struct place *place = *state;
    char link[PATH_BYTES];
    struct atomic_file file;
    struct err err = {0};
    struct stat status;

    snprintf(link, sizeof link, "%s/link", place->folder.path);
    put(place->file, "before");
    assert_int_equal(symlink(place->file, link), 0);
    assert_int_equal(atomic_file_open(&file, "--plot", link, &err), 0);
    fputs("after", file.out);
    assert_int_equal(atomic_file_close(&file, "--plot", &err), 0);
    expect(place->file, "after");
    assert_int_equal(lstat(link, &status), 0);
    assert_true(S_ISLNK(status.st_mode));
    unlink(link);
}

static void write_too_much(const char *path, struct err *err)
{
    struct atomic_file file;
    struct rlimit before, small;

    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    small = (struct rlimit){SMALL, before.rlim_max};
    assert_int_equal(atomic_file_open(&file, "--plot", path, err), 0);
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    for (int i = 0; i < LARGE; i++)
        putc('x', file.out);
    int closed = atomic_file_close(&file, "--plot", err);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    signal(SIGXFSZ, SIG_DFL);
    assert_int_equal(closed, -1);
}

static void what_cannot_be_written_whole_leaves_what_was_there(void **state)
{
    const struct place *place = *state;
    struct err err = {0};

    put(place->file, "before");
    write_too_much(place->file, &err);
    expect(place->file, "before");
    assert_int_equal(err.reason, ERR_SYSTEM_FILE);
    assert_non_null(strstr(err.text, "cannot write --plot "));
    assert_non_null(strstr(err.text, strerror(EFBIG)));
}

static void what_cannot_be_written_whole_leaves_nothing_new(void **state)
{
    const struct place *place = *state;
    struct err err = {0};

    write_too_much(place->file, &err);
    assert_int_equal(access(place->file, F_OK), -1);
}

static void what_is_no_plain_file_is_written_in_place(void **state)
{
    struct atomic_file file;
    struct err err = {0};
    struct stat status;

    (void)state;
    assert_int_equal(atomic_file_open(&file, "--plot", "/dev/null", &err), 0);
    fputs("gone", file.out);
    assert_int_equal(atomic_file_close(&file, "--plot", &err), 0);
    assert_int_equal(stat("/dev/null", &status), 0);
    assert_true(S_ISCHR(status.st_mode));

    assert_int_equal(atomic_file_open(&file, "--plot", "/dev/full", &err), 0);
    fputs("too much", file.out);
    assert_int_equal(atomic_file_close(&file, "--plot", &err), -1);
    assert_non_null(strstr(err.text, "/dev/full: No space left on device"));
}

static void a_fifo_is_written_where_a_process_reads_from_it_and_never_waited_for(void **state)
{
    const char *path = ((const struct place *)*state)->file;
    struct atomic_file file;
    struct err err = {0};
    char text[8] = "";

    assert_int_equal(mkfifo(path, 0600), 0);
    assert_int_equal(atomic_file_open(&file, "--plot", path, &err), -1);
    assert_int_equal(err.reason, ERR_SYSTEM_FILE);
    assert_non_null(strstr(err.text, "it is a FIFO that no process reads from (start its reader first)"));
    int reader = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    err_clear(&err);
    assert_int_equal(atomic_file_open(&file, "--plot", path, &err), 0);
    assert_int_equal(fcntl(fileno(file.out), F_GETFL) & O_NONBLOCK, 0);
    fputs("plot", file.out);
    assert_int_equal(atomic_file_close(&file, "--plot", &err), 0);
    assert_int_equal(read(reader, text, sizeof(text)), 4);
    assert_string_equal(text, "plot");
    close(reader);
}

static void a_file_that_cannot_be_written_is_reported(void **state)
{
    const struct place *place = *state;
    char path[PATH_BYTES];
    struct atomic_file file;
    struct err err = {0};

    snprintf(path, sizeof path, "%s/no/file", place->folder.path);
    assert_int_equal(atomic_file_open(&file, "--plot", path, &err), -1);
    assert_int_equal(err.reason, ERR_SYSTEM_FILE);
    assert_int_equal(err.native, ENOENT);
    err_clear(&err);
    assert_int_equal(atomic_file_open(&file, "--plot", place->folder.path, &err), -1);
    assert_int_equal(err.native, EISDIR);
}

static void refuse(const char *path, int why, const char *text)
{
    struct err err = {0};
    char expected[PATH_BYTES + 2 * TEXT_BYTES];

    assert_int_equal(atomic_file_check("--plot", path, &err), -1);
    assert_int_equal(err.reason, ERR_USAGE);
    assert_int_equal(err.native, why);
    snprintf(expected, sizeof expected, "--plot %s cannot be written: %s", path, text);
    assert_string_equal(err.text, expected);
}

static void a_check_names_what_is_in_the_way_and_what_to_do(void **state)
{
    const struct place *place = *state;
    char path[PATH_BYTES + 8];
    struct sockaddr_un at = {.sun_family = AF_UNIX};

    refuse(place->folder.path, EISDIR, "it is a directory (give the name of a file)");
    snprintf(path, sizeof path, "%s/no/file", place->folder.path);
    refuse(path, ENOENT, "No such file or directory (create its directory first)");
    put(place->file, "text");
    snprintf(path, sizeof path, "%s/file", place->file);
    refuse(path, ENOTDIR, "Not a directory (only the last part of a path can be a file)");
    unlink(place->file);
    int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(strlen(place->file) < sizeof at.sun_path);
    strcpy(at.sun_path, place->file);
    assert_int_equal(bind(listener, (struct sockaddr *)&at, sizeof at), 0);
    refuse(place->file, ENXIO, "it is a socket (give the name of a file)");
    close(listener);
#ifdef __linux__
    refuse("/dev/full", ENOSPC, "No space left on device (free some, or give a place on another device)");
#endif
}

static void the_check_of_a_fifo_is_no_end_for_its_reader(void **state)
{
    const char *path = ((const struct place *)*state)->file;
    struct atomic_file file;
    struct err err = {0};
    char text[8] = "";

    assert_int_equal(mkfifo(path, 0600), 0);
    refuse(path, ENXIO, "it is a FIFO that no process reads from (start its reader first)");
    int reader = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    for (int lines = 2; lines > 0; lines--)
        assert_int_equal(atomic_file_check("--plot", path, &err), 0);
    assert_int_equal(read(reader, text, sizeof text), -1); /* it would wait; 0: an end */
    assert_int_equal(errno, EAGAIN);
    assert_int_equal(atomic_file_open(&file, "--plot", path, &err), 0);
    assert_int_equal(fcntl(fileno(file.out), F_GETFL) & O_NONBLOCK, 0);
    fputs("plot", file.out);
    assert_int_equal(atomic_file_close(&file, "--plot", &err), 0);
    assert_int_equal(read(reader, text, sizeof text), 4);
    assert_int_equal(read(reader, text, sizeof text), 0);
    close(reader);
}

int main(void)
{
#define FILE_TEST(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        FILE_TEST(nothing_changes_until_it_is_closed),
        FILE_TEST(a_new_file_has_the_permissions_of_new_files),
        FILE_TEST(a_link_stays_one),
        FILE_TEST(what_cannot_be_written_whole_leaves_what_was_there),
        FILE_TEST(what_cannot_be_written_whole_leaves_nothing_new),
        FILE_TEST(what_is_no_plain_file_is_written_in_place),
        FILE_TEST(a_fifo_is_written_where_a_process_reads_from_it_and_never_waited_for),
        FILE_TEST(a_file_that_cannot_be_written_is_reported),
        FILE_TEST(a_check_names_what_is_in_the_way_and_what_to_do),
        FILE_TEST(the_check_of_a_fifo_is_no_end_for_its_reader),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
