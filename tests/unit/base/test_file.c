#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "support/folder.h"
#include "tcpgreet/base/file.h"

static struct folder folder;

static const char *path_of(const char *name)
{
    static char path[128];
    (void)snprintf(path, sizeof path, "%s/%s", folder.path, name);
    return path;
}

static void write_file(const char *name, size_t length)
{
    FILE *file = fopen(path_of(name), "w");
    assert_non_null(file);
    for (size_t i = 0; i < length; i++)
        assert_int_not_equal(fputc((int)(i % 251), file), EOF);
    assert_int_equal(fclose(file), 0);
}

static int make_folder(void **state)
{
    (void)state;
    folder_make(&folder);
    return 0;
}

static int remove_folder(void **state)
{
    (void)state;
    folder_remove(&folder);
    return 0;
}

static void a_regular_file_is_read_whole(void **state)
{
    static const struct {
        const char *name;
        size_t length;
    } files[] = {{"empty", 0}, {"small", 7}, {"large", 300000}};
    (void)state;
    for (size_t i = 0; i < 3; i++) {
        struct file file;
        struct err err = {0};
        write_file(files[i].name, files[i].length);
        assert_int_equal(file_read("--ca", path_of(files[i].name), &file, &err), 0);
        assert_int_equal(file.length, files[i].length);
        for (size_t k = 0; k < file.length; k++)
            assert_int_equal((unsigned char)file.data[k], k % 251);
        assert_true(S_ISREG(file.mode));
        file_free(&file);
        assert_null(file.data);
        file_free(&file);
    }
}

static void make_socket(const char *name)
{
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    assert_true(snprintf(at.sun_path, sizeof at.sun_path, "%s/%s", folder.path, name) <
                (int)sizeof at.sun_path);
    assert_true(fd >= 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&at, sizeof at), 0);
    assert_int_equal(close(fd), 0);
}

static void refuses(const char *path, enum err_reason reason, const char *why)
{
    struct file file;
    struct err err = {0};
    char text[256];
    assert_int_equal(file_read("--ca", path, &file, &err), -1);
    assert_int_equal(err.reason, reason);
    (void)snprintf(text, sizeof text, "--ca %s cannot be read: %s", path, why);
    assert_string_equal(err.text, text);
    assert_null(file.data);
    assert_int_equal(file.length, 0);
}

/* Opening a FIFO without a writer would wait for one. */
static void what_is_not_a_regular_file_is_refused_by_its_kind(void **state)
{
    (void)state;
    assert_int_equal(mkfifo(path_of("fifo"), 0600), 0);
    make_socket("socket");
    refuses(path_of("fifo"), ERR_SYSTEM_FILE, "it is a FIFO, not a regular file");
    refuses(path_of("socket"), ERR_SYSTEM_FILE, "it is a socket, not a regular file");
    refuses("/dev/zero", ERR_SYSTEM_FILE, "it is a device, not a regular file");
    refuses(folder.path, ERR_SYSTEM_FILE, "it is a directory, not a regular file");
}

static void what_cannot_be_opened_is_refused_with_the_reason(void **state)
{
    (void)state;
    refuses(path_of("absent"), ERR_SYSTEM_FILE, "No such file or directory");
    if (getuid() == 0)
        return;
    write_file("closed", 3);
    assert_int_equal(chmod(path_of("closed"), 0), 0);
    refuses(path_of("closed"), ERR_SYSTEM_PERMISSION, "Permission denied");
}

static void a_file_over_the_limit_is_refused(void **state)
{
    (void)state;
    write_file("huge", 1);
    assert_int_equal(truncate(path_of("huge"), (off_t)FILE_BYTES_MAX + 1), 0);
    refuses(path_of("huge"), ERR_SYSTEM_FILE, "it has more than 16 MiB");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_regular_file_is_read_whole),
        cmocka_unit_test(what_is_not_a_regular_file_is_refused_by_its_kind),
        cmocka_unit_test(what_cannot_be_opened_is_refused_with_the_reason),
        cmocka_unit_test(a_file_over_the_limit_is_refused),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
