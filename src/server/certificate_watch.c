#include "certificate_watch.h"

#include <dirent.h>
#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "certificates.h"
#include "log.h"
#include "tcpgreet/base/hash.h"
#include "tcpgreet/os/path.h"

enum { DIRECTORIES_MAX = 64, MS_PER_S = 1000 };

/* What a look at the files has found. */
struct look {
    uint64_t hash;   /* of all files: other files, or other contents, give another one */
    bool is_missing; /* at least one file is not there */
    bool is_blind;   /* this process, which has given up rights, may not look at one */
    size_t directory_count;
    char *directories[DIRECTORIES_MAX]; /* ours */
    size_t link_count;
    uint64_t links[DIRECTORIES_MAX]; /* hashes of the names of links on the way to a file */
};

struct directory {
    uv_fs_event_t event;
    struct certificate_watch *watch;
};

/*
 * Invariants: a look is under way exactly while is_looking, and then only its thread uses `next`; handles is
 * the number of handles that are not closed yet.
 */
struct certificate_watch {
    const char *files[CERTIFICATES_FILES_MAX];
    uv_loop_t *loop; /* NULL: it was not started */
    uv_timer_t settle, regular;
    uv_thread_t thread; /* looks: libuv's pool aborts the process where it cannot start its own */
    uv_async_t looked;
    struct look now;  /* what is known */
    struct look next; /* what is being found out */
    struct directory *directories[DIRECTORIES_MAX];
    size_t directory_count;
    uint64_t first_ms; /* the first change that does not count yet; 0: none */
    bool is_looking;
    bool look_again; /* a change came while it was looking */
    bool was_missing;
    bool has_event;      /* a directory has changed since the last look */
    bool has_link_event; /* a link has, which may lead elsewhere now */
    bool is_closing;
    bool has_warned;
    bool has_no_thread; /* that was logged */
    size_t handles;
    struct certificate_watch_use use;
};

static void hash_number(uint64_t *hash, uint64_t number)
{
    *hash = hash_bytes(*hash, &number, sizeof number);
}

static void hash_time(uint64_t *hash, const struct timespec *at)
{
    hash_number(hash, (uint64_t)at->tv_sec);
    hash_number(hash, (uint64_t)at->tv_nsec);
}

static void hash_stat(uint64_t *hash, const struct stat *at)
{
#ifdef __APPLE__
    hash_time(hash, &at->st_mtimespec);
    hash_time(hash, &at->st_ctimespec);
#else
    hash_time(hash, &at->st_mtim);
    hash_time(hash, &at->st_ctim);
#endif
    hash_number(hash, (uint64_t)at->st_dev);
    hash_number(hash, (uint64_t)at->st_ino);
    hash_number(hash, (uint64_t)at->st_size);
}

/* A directory of CAs: its order does not count. */
static uint64_t hash_entries(const char *path)
{
    uint64_t sum = 0;
    DIR *directory = opendir(path);
    struct dirent *entry;

    while (directory != NULL && (entry = readdir(directory)) != NULL) {
        struct stat at;
        uint64_t hash = HASH_START;
        if (fstatat(dirfd(directory), entry->d_name, &at, 0) < 0)
            continue;
        hash = hash_bytes(hash, entry->d_name, strlen(entry->d_name));
        hash_stat(&hash, &at);
        sum += hash;
    }
    if (directory != NULL)
        (void)closedir(directory);
    return sum;
}

/* Returns: its index, directory_count where it is not known. */
static size_t find_directory(const struct look *look, const char *path)
{
    size_t at = 0;
    while (at < look->directory_count && strcmp(look->directories[at], path) != 0)
        at++;
    return at;
}

/* Leaves it out where memory is exhausted, or there are too many: the regular look remains. */
static void add_directory(struct look *look, const char *path)
{
    bool is_new = find_directory(look, path) == look->directory_count;
    char *copy = is_new && look->directory_count < DIRECTORIES_MAX ? strdup(path) : NULL;
    if (copy != NULL)
        look->directories[look->directory_count++] = copy;
}

static bool is_link_of(const struct look *look, uint64_t name)
{
    bool is_known = false;
    for (size_t i = 0; i < look->link_count; i++)
        is_known = is_known || look->links[i] == name;
    return is_known;
}

static void add_link(struct look *look, uint64_t name)
{
    if (look->link_count < DIRECTORIES_MAX && !is_link_of(look, name))
        look->links[look->link_count++] = name;
}

static uint64_t hash_name(const char *name)
{
    return hash_bytes(HASH_START, name, strlen(name));
}

/* Each directory in which something on the way to a file may be replaced: the one that holds it, and those
 * that hold a symbolic link. */
static void on_step(void *context, const struct path_step *step)
{
    add_directory(context, step->directory);
    if (step->target != NULL)
        add_link(context, hash_name(step->name));
}

static void take_look(const struct certificate_watch *watch, struct look *look)
{
    *look = (struct look){.hash = HASH_START};
    for (size_t i = 0; watch->files[i] != NULL; i++) {
        char end[PATH_BYTES];
        struct stat at;
        (void)path_walk(watch->files[i], on_step, look, end);
        if (stat(watch->files[i], &at) < 0) {
            look->is_blind = look->is_blind || errno == EACCES;
            look->is_missing = true;
            hash_number(&look->hash, i);
            continue;
        }
        hash_stat(&look->hash, &at);
        if (!S_ISDIR(at.st_mode))
            continue;
        add_directory(look, watch->files[i]);
        uint64_t entries = hash_entries(watch->files[i]);
        hash_number(&look->hash, entries);
    }
}

static void free_look(struct look *look)
{
    while (look->directory_count > 0)
        free(look->directories[--look->directory_count]);
}

static void look_soon(struct certificate_watch *watch, uint64_t wait_ms);

static void on_change(uv_fs_event_t *event, const char *name, int events, int status)
{
    struct directory *directory = event->data;
    struct certificate_watch *watch = directory->watch;
    uint64_t now_ms = uv_now(watch->loop);

    (void)events;
    (void)status; /* a directory that is gone is looked at, too */
    watch->has_event = true;
    watch->has_link_event = watch->has_link_event || name == NULL || is_link_of(&watch->now, hash_name(name));
    if (watch->first_ms == 0)
        watch->first_ms = now_ms;
    if (now_ms - watch->first_ms < (uint64_t)watch->use.settle_ms * CERTIFICATE_WATCH_LATEST)
        look_soon(watch, watch->use.settle_ms);
}

static void free_if_closed(struct certificate_watch *watch)
{
    if (watch->handles > 0 || !watch->is_closing)
        return;
    free_look(&watch->now);
    free_look(&watch->next);
    free(watch);
}

static void on_closed(uv_handle_t *handle)
{
    struct certificate_watch *watch = handle->data;
    watch->handles--;
    free_if_closed(watch);
}

static void on_directory_closed(uv_handle_t *handle)
{
    struct directory *directory = handle->data;
    struct certificate_watch *watch = directory->watch;
    free(directory);
    watch->handles--;
    free_if_closed(watch);
}

static void close_events(struct certificate_watch *watch)
{
    for (size_t i = 0; i < watch->directory_count; i++)
        uv_close((uv_handle_t *)&watch->directories[i]->event, on_directory_closed);
    watch->directory_count = 0;
}

/* Returns: 0, or an error of libuv. */
static int watch_directory(struct certificate_watch *watch, const char *path)
{
    struct directory *directory = calloc(1, sizeof *directory);

    if (directory == NULL)
        return UV_ENOMEM;
    directory->watch = watch;
    int result = uv_fs_event_init(watch->loop, &directory->event);
    if (result != 0) {
        free(directory);
        return result;
    }
    directory->event.data = directory;
    watch->handles++;
    watch->directories[watch->directory_count++] = directory;
    return uv_fs_event_start(&directory->event, on_change, path, 0);
}

/* Where the kernel cannot report, the regular look remains. A directory that is gone comes back with a link
 * or a directory above it, or is found by that look. */
static void watch_directories(struct certificate_watch *watch)
{
    close_events(watch);
    for (size_t i = 0; i < watch->now.directory_count; i++) {
        int result = watch_directory(watch, watch->now.directories[i]);
        if (result == 0 || result == UV_ENOENT || watch->has_warned)
            continue;
        watch->has_warned = true;
        server_log_unwatched(watch->now.directories[i], uv_strerror(result),
                             (int)(watch->use.settle_ms * CERTIFICATE_WATCH_LOOK / MS_PER_S));
    }
}

/* Watches a directory that a link leads to by now. Shape: at: its index in `next`, from where it is taken. */
static void watch_more(struct certificate_watch *watch, size_t at)
{
    struct look *now = &watch->now, *next = &watch->next;
    size_t count = watch->directory_count;
    int result = now->directory_count < DIRECTORIES_MAX && count < DIRECTORIES_MAX
                     ? watch_directory(watch, next->directories[at])
                     : UV_ENOSPC;

    if (result == 0) {
        now->directories[now->directory_count++] = next->directories[at];
        next->directories[at] = NULL;
        return;
    }
    if (watch->directory_count > count) /* it is not started */
        uv_close((uv_handle_t *)&watch->directories[--watch->directory_count]->event, on_directory_closed);
    if (result != UV_ENOENT)
        server_log_unwatchable(next->directories[at], uv_strerror(result));
}

/* Where links lead by now. What this process has watched since it was allowed to stays watched. */
static void follow_links(struct certificate_watch *watch)
{
    for (size_t i = 0; i < watch->next.link_count; i++)
        add_link(&watch->now, watch->next.links[i]);
    for (size_t i = 0; watch->has_link_event && i < watch->next.directory_count; i++)
        if (find_directory(&watch->now, watch->next.directories[i]) == watch->now.directory_count)
            watch_more(watch, i);
    watch->has_link_event = false;
}

static void look_at_files(void *context)
{
    struct certificate_watch *watch = context;
    take_look(watch, &watch->next);
    uv_async_send(&watch->looked);
}

static bool leads_elsewhere(const struct look *a, const struct look *b)
{
    bool same = a->directory_count == b->directory_count;
    for (size_t i = 0; same && i < a->directory_count; i++)
        same = strcmp(a->directories[i], b->directories[i]) == 0;
    return !same;
}

/* A file that is not there may be about to be replaced: it has the time for that once. */
static bool is_given_time(struct certificate_watch *watch)
{
    bool is_new = watch->next.is_missing && !watch->was_missing;
    watch->was_missing = watch->next.is_missing;
    return is_new;
}

/* What changes between a look and the watches that follow it is found by one more look. */
static void take_over(struct certificate_watch *watch)
{
    bool has_changed = watch->next.hash != watch->now.hash;
    bool is_elsewhere = leads_elsewhere(&watch->next, &watch->now);

    free_look(&watch->now);
    watch->now = watch->next;
    watch->next = (struct look){0};
    if (has_changed || is_elsewhere) {
        watch_directories(watch);
        watch->look_again = true;
    }
    if (has_changed)
        watch->use.changed(watch->use.context);
}

/* Returns: how long to wait where it looks again. */
static uint64_t judge(struct certificate_watch *watch)
{
    if (watch->next.is_blind) {
        follow_links(watch);
        free_look(&watch->next);
        if (watch->has_event)
            watch->use.changed(watch->use.context);
        watch->has_event = false;
    } else if (is_given_time(watch)) {
        free_look(&watch->next);
        watch->look_again = true;
        return (uint64_t)watch->use.settle_ms * CERTIFICATE_WATCH_LATEST;
    } else {
        watch->has_event = watch->has_link_event = false;
        take_over(watch);
    }
    return watch->use.settle_ms;
}

static void on_looked(uv_async_t *looked)
{
    struct certificate_watch *watch = looked->data;

    (void)uv_thread_join(&watch->thread);
    watch->is_looking = false;
    if (watch->is_closing) {
        uv_close((uv_handle_t *)looked, on_closed);
        return;
    }
    uint64_t wait_ms = judge(watch);
    if (watch->look_again)
        look_soon(watch, wait_ms);
    watch->look_again = false;
}

/* The limit of threads is another one later. */
static void wait_for_thread(struct certificate_watch *watch, int result)
{
    const uint64_t wait_ms = (uint64_t)watch->use.settle_ms * CERTIFICATE_WATCH_LATEST;

    if (!watch->has_no_thread)
        server_log_not_looked(uv_strerror(result), (int)(wait_ms / MS_PER_S));
    watch->has_no_thread = true;
    look_soon(watch, wait_ms);
}

static void on_settled(uv_timer_t *timer)
{
    struct certificate_watch *watch = timer->data;

    watch->first_ms = 0;
    if (watch->is_looking) {
        watch->look_again = true;
        return;
    }
    int result = uv_thread_create(&watch->thread, look_at_files, watch);
    watch->is_looking = result == 0;
    if (result != 0)
        wait_for_thread(watch, result);
    else
        watch->has_no_thread = false;
}

static void look_soon(struct certificate_watch *watch, uint64_t wait_ms)
{
    (void)uv_timer_start(&watch->settle, on_settled, wait_ms, 0);
}

struct certificate_watch *certificate_watch_new(const struct tls_server_config *config, struct err *err)
{
    struct certificate_watch *watch = calloc(1, sizeof *watch);

    if (watch == NULL) {
        err_set(err, ERR_INTERNAL, ENOMEM, "not enough memory to watch files");
        return NULL;
    }
    certificates_list_files(config, watch->files);
    take_look(watch, &watch->now);
    return watch;
}

void certificate_watch_start(struct certificate_watch *watch, uv_loop_t *loop,
                             const struct certificate_watch_use *use)
{
    const uint64_t look_ms = (uint64_t)use->settle_ms * CERTIFICATE_WATCH_LOOK;

    watch->loop = loop;
    watch->use = *use;
    watch->settle.data = watch->regular.data = watch->looked.data = watch;
    watch->handles = 3;
    (void)uv_timer_init(loop, &watch->settle); /* which cannot fail, nor do timers with a callback */
    (void)uv_timer_init(loop, &watch->regular);
    (void)uv_async_init(loop, &watch->looked, on_looked); /* likewise: a loop has one of its own */
    (void)uv_timer_start(&watch->regular, on_settled, look_ms, look_ms);
    watch_directories(watch);
    look_soon(watch, watch->use.settle_ms); /* what has changed since the first look */
}

bool certificate_watch_close(struct certificate_watch *watch)
{
    if (watch == NULL)
        return true;
    bool is_looking = watch->is_looking;
    watch->is_closing = true;
    close_events(watch);
    if (watch->loop != NULL) {
        uv_close((uv_handle_t *)&watch->settle, on_closed);
        uv_close((uv_handle_t *)&watch->regular, on_closed);
        if (!is_looking)
            uv_close((uv_handle_t *)&watch->looked, on_closed);
    }
    free_if_closed(watch);
    return !is_looking;
}
