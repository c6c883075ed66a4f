#include <openssl/ssl.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "support/tls_ends.h"

#include <stdlib.h>

#include "support/certificates.h"
#include "support/tls_party.h"

struct ends {
    struct certificates *certificates;
    struct tls_client *client;
    struct tls_server *server;
    struct stream_faults faults[2];
};

void tls_ends_make(struct stream_pair *pair, struct stream *lowers[2], const struct tls_ends_config *config)
{
    struct ends *ends = test_calloc(1, sizeof *ends);
    void *certificates;
    certificates_set_up(&certificates);
    *ends = (struct ends){.certificates = certificates, .faults = {config->faults, config->faults}};
    ends->client = tls_party_client_plain(ends->certificates);
    ends->server = tls_party_server_plain(ends->certificates);
    const struct certificate *const chain[] = {&ends->certificates->server, NULL};
    bool near_is_server = config->near_is_server;
    struct stream *near = stream_fault_new(lowers[0], &ends->faults[0]);
    struct stream *far = stream_fault_new(lowers[1], &ends->faults[1]);

    pair->context = ends;
    pair->near = near_is_server ? tls_server_stream(ends->server, near, NULL)
                                : tls_client_stream(ends->client, near, "localhost", NULL);
    if (config->version != 0)
        pair->far = near_is_server ? tls_raw_client(far, config->version, NULL, NULL)
                                   : tls_raw_server(far, config->version, chain, NULL);
    else
        pair->far = near_is_server ? tls_client_stream(ends->client, far, "localhost", NULL)
                                   : tls_server_stream(ends->server, far, NULL);
    if (pair->near == NULL || pair->far == NULL)
        abort();
}

void tls_ends_fini(struct stream_pair *pair)
{
    struct ends *ends = pair->context;
    void *certificates = ends->certificates;
    assert_int_equal(ends->faults[0].frees, 1);
    assert_int_equal(ends->faults[1].frees, 1);
    tls_client_free(ends->client);
    tls_server_free(ends->server);
    certificates_tear_down(&certificates);
    test_free(ends);
}
