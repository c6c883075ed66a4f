#include "confinement.h"

#include "certificates.h"
#include "log.h"
#include "tcpgreet/core/endpoint.h"
#include "tcpgreet/os/sandbox.h"

int server_confinement_prepare(const struct server_config *config, struct err *err)
{
    static const char *files[CERTIFICATES_FILES_MAX];
    const struct sandbox_config sandbox = {
        .role = SANDBOX_SERVER, .is_off = config->no_sandbox, .user = config->user, .files = files};

    certificates_list_files(config->use_tls ? &config->tls : NULL, files);
    return sandbox_prepare(&sandbox, err);
}

int server_confinement_enter(struct err *err)
{
    char sandbox[SANDBOX_TEXT_BYTES];

    endpoint_keep_zones();
    if (sandbox_enter(sandbox, err) < 0)
        return -1;
    server_log_sandbox(sandbox, sandbox_is_root());
    return 0;
}
