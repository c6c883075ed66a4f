#include "confinement.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "tcpgreet/base/log.h"
#include "tcpgreet/os/sandbox.h"
#include "tcpgreet/tls/tls.h"

enum { OWN_FILES_MAX = 32 };

/* Invariant: list[count] is NULL. */
struct own_files {
    const char *list[OWN_FILES_MAX + 1];
    size_t count;
    char directories[4096]; /* that some of the list are in */
};

static void add_file(struct own_files *own, const char *path)
{
    if (path != NULL && path[0] != '\0' && own->count < OWN_FILES_MAX)
        own->list[own->count++] = path;
}

/* What probes read, and read again: the files of the TLS options, and the system's trust store. */
static void list_files(struct own_files *own, const struct tls_client_config *tls)
{
    add_file(own, tls->identity.cert);
    add_file(own, tls->identity.key);
    add_file(own, tls->policy.passphrase_file);
    add_file(own, tls->policy.crl);
    add_file(own, tls->ca);
    add_file(own, tls_store_file());
    if (tls_store_directory() != NULL)
        (void)snprintf(own->directories, sizeof(own->directories), "%s", tls_store_directory());
    for (char *rest = NULL, *path = strtok_r(own->directories, ":", &rest); path != NULL;
         path = strtok_r(NULL, ":", &rest))
        add_file(own, path);
}

int exporter_confinement_prepare(const struct exporter_config *config, struct err *err)
{
    static struct own_files own;
    const struct sandbox_config sandbox = {
        .role = SANDBOX_EXPORTER, .is_off = config->no_sandbox, .user = config->user, .files = own.list};
    list_files(&own, &config->probe.tls);
    return sandbox_prepare(&sandbox, err);
}

int exporter_confinement_enter(struct err *err)
{
    char sandbox[SANDBOX_TEXT_BYTES];

    if (sandbox_enter(sandbox, err) < 0)
        return -1;
    if (sandbox_is_root())
        log_event(&(struct log_event){LOG_WARNING, "root", NULL},
                  "This exporter runs as root: --user NAME lets it become another user once all is open");
    log_event(&(struct log_event){LOG_INFO, "sandbox", NULL}, "Sandbox: %s", sandbox);
    if (log_release() < 0)
        return err_set(err, ERR_INTERNAL, errno, "cannot start the log: %s", strerror(errno));
    return 0;
}
