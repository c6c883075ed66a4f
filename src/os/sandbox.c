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
    bool is_frozen;
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

/* In the helper: what it needs for these files is all that it keeps. */
static void confine_helper(const char *const *files)
{
    (void)privileges_bound();
    (void)privileges_drop(PRIVILEGES_READ);
    (void)privileges_hide_memory();
    if (sandbox.config.is_off)
        return;
    (void)privileges_freeze();
    int rules = landlock_open(&(struct landlock_config){.connects = false});
    allow_files(rules, files, false);
    (void)landlock_restrict(rules);
    (void)seccomp_restrict(&(struct seccomp_config){.role = SECCOMP_HELPER, .opens_files = true});
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
        (void)seccomp_forbid_io_uring(); /* in the helper, too */
    }
    bool loses_rights = geteuid() == 0 && (config->user != NULL || !config->is_off);
    if (sandbox.has_files && loses_rights) {
        if (file_helper_start(config->files, confine_helper, err) < 0)
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

enum { LIST_BYTES = 200 };

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

static void restrict_all(int rules, struct state *state)
{
    bool is_exporter = sandbox.config.role == SANDBOX_EXPORTER;
    char landlock[32];

    note(state, "no capabilities", privileges_drop(PRIVILEGES_NONE));
    note(state, "no_new_privs", sandbox.is_frozen);
    note(state, "no core dumps", privileges_hide_memory());
    (void)snprintf(landlock, sizeof landlock, "Landlock %d", landlock_version());
    bool is_locked = landlock_restrict(rules);
    note(state, is_locked ? landlock : "Landlock", is_locked);
    note(state, "seccomp",
         seccomp_restrict(&(struct seccomp_config){.role = is_exporter ? SECCOMP_EXPORTER : SECCOMP_SERVER,
                                                   .opens_files = is_exporter || sandbox.has_files}));
}

int sandbox_enter(char text[SANDBOX_TEXT_BYTES], struct err *err)
{
    const struct sandbox_config *config = &sandbox.config;
    struct state state = {{0}, {0}};
    int rules = config->is_off ? -1 : make_rules();

    if (!config->is_off)
        (void)privileges_bound();
    if (config->user != NULL) {
        char user[PRIVILEGES_NAME_BYTES + 8];
        if (privileges_become(&sandbox.user, err) < 0)
            return -1;
        (void)snprintf(user, sizeof user, "user %s", sandbox.user.name);
        add(state.active, user);
    }
    if (config->is_off)
        add(state.missing, "all else, by --no-sandbox");
    else
        restrict_all(rules, &state);
    (void)snprintf(text, SANDBOX_TEXT_BYTES, "%s%s%s", state.active[0] != '\0' ? state.active : "none",
                   state.missing[0] != '\0' ? "; not active: " : "", state.missing);
    return 0;
}

void sandbox_version_put(FILE *out)
{
    char seccomp[64];
    fprintf(out, "sandbox: %s, Landlock %d\n", seccomp_version_text(seccomp, sizeof seccomp),
            landlock_version());
}
