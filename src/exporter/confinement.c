#include "confinement.h"

#include <errno.h>
#include <string.h>

#include "tcpgreet/base/log.h"
#include "tcpgreet/os/sandbox.h"
#include "tcpgreet/tls/tls.h"

enum { OWN_FILES_MAX = 70, DIRECTORIES_MAX = 64 };

/* Invariant: list[count] is NULL. */
struct own_files {
    const char *list[OWN_FILES_MAX + 1];
    size_t count;
    char directories[4096]; /* that the last of the list are in */
};

static void add_file(struct own_files *own, const char *path)
{
    if (path != NULL && path[0] != '\0')
        own->list[own->count++] = path;
}

/* Returns: 0, or -1 with err where there is no room for them. */
static int add_directories(struct own_files *own, const char *directories, struct err *err)
{
    size_t count = 0, length = strlen(directories);

    if (length < sizeof(own->directories))
        memcpy(own->directories, directories, length + 1);
    for (char *rest = NULL, *path = strtok_r(own->directories, ":", &rest);
         path != NULL && count <= DIRECTORIES_MAX; path = strtok_r(NULL, ":", &rest))
        if (++count <= DIRECTORIES_MAX)
            add_file(own, path);
    if (length < sizeof(own->directories) && count <= DIRECTORIES_MAX)
        return 0;
    return err_set(
        err, ERR_USAGE, 0,
        "SSL_CERT_DIR: an exporter's sandbox takes %d directories at most, in %zu bytes (shorten the "
        "list, or use --no-sandbox without --user)",
        DIRECTORIES_MAX, sizeof(own->directories) - 1);
}

/* What probes read, and read again: the files of the TLS options, and the system's trust store. */
static int list_files(struct own_files *own, const struct tls_client_config *tls, struct err *err)
{
    const char *directories = tls_store_directory();

    add_file(own, tls->identity.cert);
    add_file(own, tls->identity.key);
    add_file(own, tls->policy.passphrase_file);
    add_file(own, tls->policy.crl);
    add_file(own, tls->ca);
    add_file(own, tls_store_file());
    return directories == NULL ? 0 : add_directories(own, directories, err);
}

int exporter_confinement_prepare(const struct exporter_config *config, struct err *err)
{
    static struct own_files own;
    const struct sandbox_config sandbox = {
        .role = SANDBOX_EXPORTER, .is_off = config->no_sandbox, .user = config->user, .files = own.list};
    bool uses_files = !config->no_sandbox || config->user != NULL;

    if (uses_files && list_files(&own, &config->probe.tls, err) < 0)
        return -1;
    return sandbox_prepare(&sandbox, err);
}

int exporter_confinement_enter(struct err *err)
{
    char sandbox[SANDBOX_TEXT_BYTES];

    if (sandbox_enter(sandbox, err) < 0)
        return -1;
    if (sandbox_is_root())
        log_event(&(struct log_event){LOG_WARNING, "root", NULL},
                  "This exporter runs as root: use --user NAME to switch to another user after start");
    log_event(&(struct log_event){LOG_INFO, "sandbox", NULL}, "Sandbox: %s", sandbox);
    if (log_release() < 0) {
        err_set_no_thread(err, errno);
        return err_context(err, "cannot start the log");
    }
    return 0;
}
