#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "tcpgreet/base/escape.h"
#include "tcpgreet/cli/options.h"
#include "tcpgreet/format/atomic_file.h"
#include "tcpgreet/http/http.h"

enum { PATH_BYTES = 300 };

static int check_file(const char *option, const char *path, struct err *err)
{
    char room[PATH_BYTES];

    if (path == NULL || access(path, R_OK) == 0)
        return 0;
    return err_set(err, errno == EACCES ? ERR_SYSTEM_PERMISSION : ERR_USAGE, errno,
                   "--%s %s cannot be read: %s", option,
                   escape_text((struct bytes){path, strlen(path)}, room, sizeof(room)), strerror(errno));
}

static int check_identity_files(const struct tls_files *list, struct err *err)
{
    for (size_t i = 0; i < TLS_FILES_MAX && list[i].cert != NULL; i++)
        if (check_file("cert", list[i].cert, err) != 0 || check_file("key", list[i].key, err) != 0)
            return -1;
    return 0;
}

static int check_merged(const struct options *options, struct err *err)
{
    for (size_t i = 0; i < options->operand_count; i++)
        if (check_file("bench-merge", options->operands[i], err) != 0)
            return -1;
    return 0;
}

/* Whether an exporter whose probes do not all use TLS has files for those that do. */
static bool has_tls_files(const struct options *options)
{
    const struct tls_client_config *tls = &options->exporter.probe.tls;
    return options->mode == MODE_EXPORTER &&
           (tls->ca != NULL || tls->policy.crl != NULL || tls->identity.cert != NULL);
}

int options_check_system(const struct options *options, struct err *err)
{
    const struct tls_server_config *server = &options->server.tls;
    const char *plot = options->probe.plot;

    if (plot != NULL && strcmp(plot, "-") != 0 && atomic_file_check("--plot", plot, err) != 0)
        return -1;
    if (options->targets.file != NULL && strcmp(options->targets.file, "-") != 0 &&
        check_file("targets", options->targets.file, err) != 0)
        return -1;
    if (options->mode == MODE_BENCH_MERGE)
        return bench_merge_available(err) != 0 ? -1 : check_merged(options, err);
    if (options->server.metrics.service[0] != '\0' && http_available("--metrics", err) != 0)
        return -1;
    if (options->mode == MODE_EXPORTER && http_available("--exporter", err) != 0)
        return -1;
    if (!options->server.use_tls && !options->probe.use_tls && !has_tls_files(options))
        return 0;
    return tls_available(err) != 0 || check_identity_files(server->identities, err) != 0 ||
                   check_file("ca", options->client.tls.ca, err) != 0 ||
                   check_file("client-ca", server->client_ca, err) != 0 ||
                   check_file("crl", server->policy.crl, err) != 0 ||
                   check_file("key-passphrase-file", server->policy.passphrase_file, err) != 0 ||
                   check_file("ticket-keys", server->ticket_keys, err) != 0
               ? -1
               : 0;
}
