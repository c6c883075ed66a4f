#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <uv.h>

#include "support/folder.h"
#include "tcpgreet/os/memory.h"

enum { MIB = 1 << 20 };

static struct folder root;

static int set_up(void **state)
{
    (void)state;
    folder_make(&root);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    folder_remove(&root);
    return 0;
}

/* Makes a file below the root, and its directories. */
static void put(const char *name, const char *text)
{
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%s%s", root.path, name);
    for (char *at = path + strlen(root.path) + 1; (at = strchr(at, '/')) != NULL; at++) {
        *at = '\0';
        mkdir(path, 0700);
        *at = '/';
    }
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs(text, file);
    assert_int_equal(fclose(file), 0);
}

static void without_groups_it_is_what_the_machine_has(void **state)
{
    (void)state;
    assert_int_equal(memory_limit(root.path), uv_get_total_memory());
    put("/proc/self/cgroup", "0::/\n");
    assert_int_equal(memory_limit(root.path), uv_get_total_memory());
}

static void the_lowest_limit_of_a_group_and_those_above_it_counts(void **state)
{
    (void)state;
    put("/proc/self/cgroup", "0::/a.slice/b.service\n");
    put("/sys/fs/cgroup/a.slice/b.service/memory.max", "max\n");
    put("/sys/fs/cgroup/a.slice/memory.max", "67108864\n");
    assert_int_equal(memory_limit(root.path), 64 * MIB);
    put("/sys/fs/cgroup/a.slice/b.service/memory.max", "33554432\n");
    assert_int_equal(memory_limit(root.path), 32 * MIB);
    put("/sys/fs/cgroup/a.slice/b.service/memory.max", "134217728\n");
    assert_int_equal(memory_limit(root.path), 64 * MIB);
}

static void the_older_hierarchy_counts(void **state)
{
    (void)state;
    put("/proc/self/cgroup", "9:memoryless:/x\n4:cpu,memory:/a\n3:cpuset:/a\n0::/\n");
    put("/sys/fs/cgroup/memory/a/memory.limit_in_bytes", "67108864\n");
    put("/sys/fs/cgroup/memory/x/memory.limit_in_bytes", "1\n");
    assert_int_equal(memory_limit(root.path), 64 * MIB);
}

static void a_container_that_sees_the_path_of_its_host_has_its_own_limit(void **state)
{
    (void)state;
    put("/proc/self/cgroup", "4:memory:/docker/0123\n");
    put("/sys/fs/cgroup/memory/memory.limit_in_bytes", "67108864\n");
    assert_int_equal(memory_limit(root.path), 64 * MIB);
}

static void no_limit_is_above_what_the_machine_has(void **state)
{
    (void)state;
    put("/proc/self/cgroup", "4:memory:/\n");
    put("/sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n");
    assert_int_equal(memory_limit(root.path), uv_get_total_memory());
}

static void lines_that_make_no_sense_are_passed_over(void **state)
{
    (void)state;
    put("/proc/self/cgroup", "\n:\n0\n0:\n::\nmemory\n4:memory:/a\n4:memory");
    put("/sys/fs/cgroup/memory/a/memory.limit_in_bytes", "lots\n");
    assert_int_equal(memory_limit(root.path), uv_get_total_memory());
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(without_groups_it_is_what_the_machine_has),
        TEST(the_lowest_limit_of_a_group_and_those_above_it_counts),
        TEST(the_older_hierarchy_counts),
        TEST(a_container_that_sees_the_path_of_its_host_has_its_own_limit),
        TEST(no_limit_is_above_what_the_machine_has),
        TEST(lines_that_make_no_sense_are_passed_over),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
