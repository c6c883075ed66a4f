#include "tcpgreet/os/sandbox.h"

#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "file_helper.h"
#include "landlock.h"
#include "privileges.h"
#include "seccomp.h"

/* What names are looked up with, and the system's trust store: docs/hardening.md has each with its purpose.
 */
static const char *const exporter_paths[] = {"/etc",
                                             "/lib",
                                             "/lib32",
                                             "/lib64",
                                             "/usr/lib",
                                             "/usr/lib32",
                                             "/usr/lib64",
                                             "/usr/local/lib",
                                             "/usr/share/ca-certificates",
                                             "/usr/local/share/ca-certificates",
                                             "/run/systemd/resolve",
                                             "/run/resolvconf",
                                             "/run/NetworkManager",
                                             "/run/connman",
                                             "/var/lib/sss",
                                             "/proc"};

/* One a process. Invariant: has_helper: another process opens the files. */
static struct {
    struct sandbox_config config;
    struct privileges_user user; /* config.user != NULL */
    bool has_helper;
    char helper_missing[FILE_HELPER_TEXT_BYTES]; /* what is not active in it */
    bool is_frozen;
    bool has_no_ring; /* io_uring is forbidden */
    bool has_files;
} sandbox;

static bool is_directory(const char *path)
{
    struct stat status;
    return stat(path, &status) == 0 && S_ISDIR(status.st_mode);
}

/* OpenSSL itself opens what is in a directory, when it is wanted. */
static void allow_files(int rules, const char *const *files, bool only_directories)
{
    for (size_t i = 0; files[i] != NULL; i++)
        if (!only_directories || is_directory(files[i]))
            landlock_allow_replaced(rules, files[i]);
}

enum { LIST_BYTES = FILE_HELPER_TEXT_BYTES };

/* A list of what is active, and one of what is not. */
struct state {
    char active[LIST_BYTES];
    char missing[LIST_BYTES];
};

static void add(char list[LIST_BYTES], const char *what)
{
    size_t length = strlen(list);
    (void)snprintf(list + length, LIST_BYTES - length, "%s%s", length > 0 ? ", " : "", what);
}

static void note(struct state *state, const char *what, bool is_active)
{
    add(is_active ? state->active : state->missing, what);
}

/* In the helper: what it needs for these files is all that it keeps. */
static void confine_helper(const char *const *files, char missing[FILE_HELPER_TEXT_BYTES])
{
    struct state state = {{0}, {0}};

    note(&state, "an empty bounding set", privileges_bound());
    note(&state, "fewer capabilities", privileges_drop(PRIVILEGES_READ));
    note(&state, "no core dumps", privileges_hide_memory());
    if (!sandbox.config.is_off) {
        int rules = landlock_open(&(struct landlock_config){.connects = false});
        note(&state, "no_new_privs", privileges_freeze());
        allow_files(rules, files, false);
        note(&state, "Landlock", landlock_restrict(rules));
        note(&state, "seccomp",
             seccomp_restrict(&(struct seccomp_config){.role = SECCOMP_HELPER, .opens_files = true}));
    }
    (void)snprintf(missing, FILE_HELPER_TEXT_BYTES, "%s", state.missing);
}

bool sandbox_is_root(void)
{
    return geteuid() == 0 && sandbox.config.user == NULL;
}

int sandbox_prepare(const struct sandbox_config *config, struct err *err)
{
    sandbox.config = *config;
    sandbox.has_files = config->files[0] != NULL;
    if (config->user != NULL && privileges_find(config->user, &sandbox.user, err) < 0)
        return -1;
    if (!config->is_off) {
        sandbox.is_frozen = privileges_freeze();
        sandbox.has_no_ring = seccomp_forbid_io_uring(); /* in the helper, too */
    }
    bool loses_rights = geteuid() == 0 && (config->user != NULL || !config->is_off);
    if (sandbox.has_files && loses_rights) {
        if (file_helper_start(config->files, confine_helper, sandbox.helper_missing, err) < 0)
            return -1;
        sandbox.has_helper = true;
    }
    return 0;
}

/* Rules are made while this process can still see every directory. */
static int make_rules(void)
{
    bool is_exporter = sandbox.config.role == SANDBOX_EXPORTER;
    int rules = landlock_open(&(struct landlock_config){.connects = is_exporter});

    if (rules < 0)
        return -1;
    allow_files(rules, sandbox.config.files, sandbox.has_helper && !is_exporter);
    for (size_t i = 0; is_exporter && i < sizeof exporter_paths / sizeof exporter_paths[0]; i++)
        landlock_allow(rules, exporter_paths[i]);
    return rules;
}

static bool restrict_calls(bool is_exporter)
{
    return seccomp_restrict(&(struct seccomp_config){.role = is_exporter ? SECCOMP_EXPORTER : SECCOMP_SERVER,
                                                     .opens_files = is_exporter || sandbox.has_files});
}

static void restrict_all(int rules, struct state *state)
{
    char landlock[32];

    note(state, "no capabilities", privileges_drop(PRIVILEGES_NONE));
    note(state, "no_new_privs", sandbox.is_frozen);
    note(state, "no core dumps", privileges_hide_memory());
    (void)snprintf(landlock, sizeof landlock, "Landlock %d", landlock_version());
    bool is_locked = landlock_restrict(rules);
    note(state, is_locked ? landlock : "Landlock", is_locked);
    bool is_filtered = restrict_calls(sandbox.config.role == SANDBOX_EXPORTER);
    note(state, "seccomp", is_filtered);
    if (is_filtered && !sandbox.has_no_ring)
        add(state->missing, "no io_uring");
}

/* Another user than root cannot change the set. */
static bool bound(void)
{
    bool is_root = geteuid() == 0;
    return privileges_bound() || !is_root;
}

static void put_text(char text[SANDBOX_TEXT_BYTES], const struct state *state)
{
    const char *missing = sandbox.helper_missing;
    (void)snprintf(text, SANDBOX_TEXT_BYTES, "%s%s%s%s%s",
                   state->active[0] != '\0' ? state->active
                   : sandbox.config.is_off  ? "off (--no-sandbox)"
                                            : "none",
                   state->missing[0] != '\0' ? "; not active: " : "", state->missing,
                   missing[0] != '\0' ? "; not active in tcpgreet-files: " : "", missing);
}

int sandbox_enter(char text[SANDBOX_TEXT_BYTES], struct err *err)
{
    const struct sandbox_config *config = &sandbox.config;
    struct state state = {{0}, {0}};
    int rules = config->is_off ? -1 : make_rules();
    bool is_bound = config->is_off || bound();

    if (config->user != NULL) {
        char user[PRIVILEGES_NAME_BYTES + 8];
        if (privileges_become(&sandbox.user, err) < 0)
            return -1;
        (void)snprintf(user, sizeof user, "user %s", sandbox.user.name);
        add(state.active, user);
    }
    if (config->is_off && config->user != NULL)
        add(state.missing, "everything else (--no-sandbox)");
    if (!config->is_off)
        restrict_all(rules, &state);
    if (!is_bound)
        add(state.missing, "an empty bounding set");
    put_text(text, &state);
    return 0;
}

int sandbox_watch(uv_loop_t *loop)
{
    return file_helper_watch(loop);
}

void sandbox_version_put(FILE *out)
{
    char seccomp[64];
    fprintf(out, "sandbox: %s, Landlock %d\n", seccomp_version_text(seccomp, sizeof seccomp),
            landlock_version());
}
