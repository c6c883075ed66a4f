#include "tcpgreet/cli/tls_setup.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

/* A file that is not there is a mistake on the command line; the option is named before anything is opened.
 */
static int check_file(const char *option, const char *path, struct err *err)
{
    if (path == NULL || access(path, R_OK) == 0)
        return 0;
    return err_set(err, ERR_USAGE, errno, "--%s %s cannot be read: %s", option, path, strerror(errno));
}

static int check_files(const struct options *options, struct err *err)
{
    for (size_t i = 0; i < options->certs.count; i++)
        if (check_file("cert", options->certs.values[i], err) < 0)
            return -1;
    for (size_t i = 0; i < options->keys.count; i++)
        if (check_file("key", options->keys.values[i], err) < 0)
            return -1;
    return check_file("ca", options->ca, err) < 0 || check_file("client-ca", options->client_ca, err) < 0 ||
                   check_file("key-passphrase-file", options->passphrase_file, err) < 0 ||
                   check_file("ticket-keys", options->ticket_keys, err) < 0
               ? -1
               : 0;
}

static struct tls_policy policy_of(const struct options *options, bool may_ask)
{
    return (struct tls_policy){.tls13_only = options->tls_min == TLS_MIN_1_3,
                               .alpn = options->alpn,
                               .passphrase_file = options->passphrase_file,
                               .may_ask = may_ask,
                               .insecure = options->insecure};
}

static struct tls_files files_of(const struct options *options, size_t i)
{
    return (struct tls_files){.cert = options->certs.values[i],
                              .key = i < options->keys.count ? options->keys.values[i] : NULL};
}

int tls_setup_client_config(const struct options *options, struct tls_setup_client_config *setup,
                            struct err *err)
{
    setup->config = (struct tls_client_config){.policy = policy_of(options, true),
                                               .ca = options->ca,
                                               .servername = options->servername,
                                               .pins.count = options->pins.count};
    if (tls_available(err) < 0 || check_files(options, err) < 0)
        return -1;
    for (size_t i = 0; i < options->pins.count; i++)
        (void)tls_pin_parse(options->pins.values[i], &setup->config.pins.list[i]); /* checked already */
    if (options->certs.count > 0)
        setup->config.identity = files_of(options, 0);
    return 0;
}

struct tls_client *tls_setup_client(const struct options *options, struct err *err)
{
    struct tls_setup_client_config setup;
    return tls_setup_client_config(options, &setup, err) == 0 ? tls_client_new(&setup.config, err) : NULL;
}

int tls_setup_servers(const struct options *options, bool may_ask, struct tls_server **servers, size_t n,
                      struct err *err)
{
    struct tls_server_config config = {.policy = policy_of(options, may_ask),
                                       .client_ca = options->client_ca,
                                       .ticket_keys = options->ticket_keys};

    if (tls_available(err) < 0 || check_files(options, err) < 0)
        return -1;
    for (size_t i = 0; i < options->certs.count; i++)
        config.identities[i] = files_of(options, i);
    if (options->client_ca != NULL)
        config.client_auth =
            options->client_auth == CLIENT_AUTH_REQUEST ? TLS_CLIENT_AUTH_REQUEST : TLS_CLIENT_AUTH_REQUIRE;
    for (size_t i = 0; i < n; i++) {
        servers[i] = i == 0 ? tls_server_new(&config, err) : tls_server_copy(servers[0], &config, err);
        if (servers[i] == NULL) {
            while (i > 0)
                tls_server_free(servers[--i]);
            return -1;
        }
    }
    return 0;
}
