#include "certificates.h"

#include <time.h>

#include "log.h"

enum { SECONDS_A_DAY = 24 * 60 * 60 };

static bool is_made_for_this_run(const struct tls_server_config *config)
{
    return config->identities[0].cert == NULL;
}

void certificates_list_files(const struct tls_server_config *config,
                             const char *files[CERTIFICATES_FILES_MAX])
{
    size_t count = 0;

    for (size_t i = 0; config != NULL && i < TLS_FILES_MAX && config->identities[i].cert != NULL; i++) {
        files[count++] = config->identities[i].cert;
        if (config->identities[i].key != NULL)
            files[count++] = config->identities[i].key;
    }
    const char *const others[] = {
        config != NULL ? config->policy.passphrase_file : NULL, config != NULL ? config->policy.crl : NULL,
        config != NULL ? config->client_ca : NULL, config != NULL ? config->ticket_keys : NULL};
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++)
        if (others[i] != NULL)
            files[count++] = others[i];
    files[count] = NULL;
}

static void log_expiry(const struct tls_server *tls)
{
    struct tls_identity_facts facts;
    for (size_t i = 0; tls_server_identity(tls, i, &facts); i++) {
        const int64_t now = (int64_t)time(NULL);
        server_log_expiry(facts.names, (double)(facts.not_after - now) / (double)SECONDS_A_DAY);
        if (facts.expires_first[0] != '\0')
            server_log_ca_expiry(facts.expires_first, facts.names,
                                 (double)(facts.expires_first_at - now) / (double)SECONDS_A_DAY);
    }
}

int certificates_open(const struct tls_server_config *config, struct tls_server **tls, size_t count,
                      struct err *err)
{
    for (size_t i = 0; i < count; i++) {
        tls[i] = i == 0 ? tls_server_new(config, err) : tls_server_copy(tls[0], config, err);
        if (tls[i] != NULL)
            continue;
        while (i > 0) {
            tls_server_free(tls[--i]);
            tls[i] = NULL;
        }
        return -1;
    }
    if (count > 0 && !is_made_for_this_run(config))
        log_expiry(tls[0]);
    return 0;
}

void certificates_log_pin(const struct tls_server_config *config, const struct tls_server *tls,
                          const struct endpoint *address)
{
    struct tls_identity_facts facts;
    struct endpoint at = *address;

    if (!is_made_for_this_run(config) || !tls_server_identity(tls, 0, &facts))
        return;
    if (endpoint_is_wildcard(&at))
        at = endpoint_loopback(endpoint_family(&at), endpoint_port(&at));
    server_log_pin(&at, facts.pin);
}

bool certificates_have_files(const struct tls_server_config *config)
{
    return config != NULL && (!is_made_for_this_run(config) || config->ticket_keys != NULL);
}
