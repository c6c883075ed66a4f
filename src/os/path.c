#include "tcpgreet/os/path.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { LINKS_MAX = 40 }; /* as the kernel has it. Source: path_resolution(7) */

/* Invariant: `at` has no link in it: "/", or without a slash at its end; "" is the working directory. */
struct walk {
    char at[PATH_BYTES];
    char rest[PATH_BYTES]; /* what follows */
    int links;             /* that were followed */
};

/* Replaces what follows. Returns: false where it is too long. */
static bool set_rest(struct walk *walk, const char *path, const char *behind)
{
    char rest[PATH_BYTES];
    int length = snprintf(rest, sizeof rest, "%s%s", path, behind);

    if (path[0] == '\0' || length < 0 || length >= (int)sizeof rest)
        return false;
    if (path[0] == '/')
        memcpy(walk->at, "/", sizeof "/");
    memcpy(walk->rest, rest, (size_t)length + 1);
    return true;
}

/* Takes a name from what follows. Returns: its length; 0 at the end. */
static size_t take_name(struct walk *walk, char name[PATH_BYTES])
{
    const char *begin = walk->rest + strspn(walk->rest, "/");
    size_t length = strcspn(begin, "/");

    memcpy(name, begin, length);
    name[length] = '\0';
    memmove(walk->rest, begin + length, strlen(begin + length) + 1);
    return length;
}

static bool is_parent(const char *name)
{
    return strcmp(name, "..") == 0;
}

/* Writes the path of a name in `at`. Returns: false where it is too long. */
static bool join(const struct walk *walk, const char *name, char path[PATH_BYTES])
{
    const char *slash = walk->at[0] == '\0' || strcmp(walk->at, "/") == 0 ? "" : "/";
    int length = snprintf(path, PATH_BYTES, "%s%s%s", walk->at, slash, name);
    return length >= 0 && length < PATH_BYTES;
}

/* Returns: false where it is too long. */
static bool go_up(struct walk *walk)
{
    char path[PATH_BYTES];
    char *slash = strrchr(walk->at, '/');
    const char *last = slash != NULL ? slash + 1 : walk->at;

    if (strcmp(walk->at, "/") == 0)
        return true;
    if (last[0] == '\0' || is_parent(last)) { /* above the working directory */
        bool fits = join(walk, "..", path);
        if (fits)
            memcpy(walk->at, path, strlen(path) + 1);
        return fits;
    }
    if (slash == walk->at)
        walk->at[1] = '\0';
    else if (slash != NULL)
        *slash = '\0';
    else
        walk->at[0] = '\0';
    return true;
}

/* What a step finds. */
struct found {
    char path[PATH_BYTES];
    char target[PATH_BYTES]; /* "": it is no link */
    bool is_there;
};

/* Returns: false where it is too long. */
static bool look(const struct walk *walk, const char *name, struct found *found)
{
    if (!join(walk, name, found->path))
        return false;
    ssize_t length = readlink(found->path, found->target, sizeof found->target - 1);
    found->is_there = length >= 0 || errno == EINVAL;
    found->target[length > 0 ? length : 0] = '\0';
    return true;
}

static bool take_step(struct walk *walk, const char *name, const struct found *found)
{
    if (strcmp(name, ".") == 0)
        return true;
    if (is_parent(name))
        return go_up(walk);
    if (found->target[0] != '\0')
        return ++walk->links <= LINKS_MAX && set_rest(walk, found->target, walk->rest);
    memcpy(walk->at, found->path, strlen(found->path) + 1);
    return true;
}

bool path_walk(const char *path, void (*on_step)(void *context, const struct path_step *step), void *context,
               char end[PATH_BYTES])
{
    struct walk walk = {.at = ""};
    char name[PATH_BYTES];
    struct found found;
    bool is_there = true;

    if (!set_rest(&walk, path, ""))
        return false;
    while (take_name(&walk, name) > 0) {
        if (!look(&walk, name, &found))
            return false;
        const struct path_step step = {.directory = walk.at[0] != '\0' ? walk.at : ".",
                                       .name = name,
                                       .target = found.target[0] != '\0' ? found.target : NULL,
                                       .is_last = walk.rest[strspn(walk.rest, "/")] == '\0'};
        if (step.target != NULL || step.is_last)
            on_step(context, &step);
        is_there = is_there && found.is_there;
        if (!take_step(&walk, name, &found))
            return false;
    }
    const char *at = walk.at[0] != '\0' ? walk.at : ".";
    memcpy(end, at, strlen(at) + 1);
    return is_there;
}
