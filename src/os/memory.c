#include "tcpgreet/os/memory.h"

#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

/* Of two limits, of which 0 is none. */
static uint64_t lower(uint64_t a, uint64_t b)
{
    return b == 0 || (a != 0 && a < b) ? a : b;
}

/* Returns: the number in a file; 0 where it is "max", or there is none. */
static uint64_t read_number(const char *path)
{
    char text[32];
    FILE *file = fopen(path, "re");
    if (file == NULL)
        return 0;
    uint64_t number = fgets(text, sizeof text, file) != NULL ? strtoull(text, NULL, 10) : 0;
    (void)fclose(file);
    return number;
}

/* Of a group and all above it. In a container the group's path may be that of the host, and its own group
 * stands where the root should be: what is not there does not count. Shape: group: is changed. */
static uint64_t limit_of_group(const char *hierarchy, char *group, const char *name)
{
    uint64_t limit = 0;
    char path[2 * PATH_MAX];
    for (char *end = group + strlen(group); end != NULL; end = strrchr(group, '/')) {
        *end = '\0';
        int length = snprintf(path, sizeof path, "%s%s/%s", hierarchy, group, name);
        if (length > 0 && (size_t)length < sizeof path)
            limit = lower(limit, read_number(path));
    }
    return limit;
}

/* Shape: controllers: separated by commas. */
static bool has_memory(const char *controllers)
{
    static const char name[] = "memory";
    const char *at = controllers;
    while (strcspn(at, ",") != sizeof name - 1 || strncmp(at, name, sizeof name - 1) != 0) {
        at += strcspn(at, ",");
        if (*at++ == '\0')
            return false;
    }
    return true;
}

/* "0::GROUP" in the unified hierarchy, "N:CONTROLLERS:GROUP" in an older one. */
static uint64_t limit_of_line(const char *root, char *line)
{
    char hierarchy[PATH_MAX];
    char *controllers = strchr(line, ':');
    char *group = controllers != NULL ? strchr(controllers + 1, ':') : NULL;

    if (group == NULL)
        return 0;
    *group++ = '\0';
    group[strcspn(group, "\n")] = '\0';
    bool is_unified = *++controllers == '\0';
    if (!is_unified && !has_memory(controllers))
        return 0;
    int length =
        snprintf(hierarchy, sizeof hierarchy, "%s/sys/fs/cgroup%s", root, is_unified ? "" : "/memory");
    if (length < 0 || (size_t)length >= sizeof hierarchy)
        return 0;
    return limit_of_group(hierarchy, group, is_unified ? "memory.max" : "memory.limit_in_bytes");
}

uint64_t memory_limit(const char *root)
{
    uint64_t limit = uv_get_total_memory();
    char path[PATH_MAX], line[PATH_MAX];
    int length = snprintf(path, sizeof path, "%s/proc/self/cgroup", root);
    FILE *file = length > 0 && (size_t)length < sizeof path ? fopen(path, "re") : NULL;

    while (file != NULL && fgets(line, sizeof line, file) != NULL)
        limit = lower(limit, limit_of_line(root, line));
    if (file != NULL)
        (void)fclose(file);
    return limit;
}
