#include "support/probe_spoiled.h"

#include <stdio.h>
#include <string.h>

static void fill(char *text, size_t room, const char *piece)
{
    size_t used = 0;
    while (used + strlen(piece) < room)
        used += (size_t)snprintf(text + used, room - used, "%s", piece);
}

static void spoil_err(struct err *err, const char *piece)
{
    if (err->reason != ERR_OK)
        fill(err->text, sizeof(err->text), piece);
}

static void spoil_address(struct probe_address *address, const char *piece)
{
    struct stream_tls_facts *tls = &address->tls;

    spoil_err(&address->err, piece);
    fill(address->interface, sizeof(address->interface), piece);
    fill(tls->version, sizeof(tls->version), piece);
    fill(tls->cipher, sizeof(tls->cipher), piece);
    fill(tls->group, sizeof(tls->group), piece);
    fill(tls->alpn, sizeof(tls->alpn), piece);
    fill(tls->subject, sizeof(tls->subject), piece);
    fill(tls->issuer, sizeof(tls->issuer), piece);
    fill(tls->key, sizeof(tls->key), piece);
    fill(tls->distrust, sizeof(tls->distrust), piece);
    tls->chain_count = 4711;
    for (size_t link = 0; link < STREAM_TLS_CHAIN_MAX; link++)
        fill(tls->chain[link], sizeof(tls->chain[link]), piece);
}

void probe_spoil(struct probe_result *result, const char *piece)
{
    fill(result->target, sizeof(result->target), piece);
    fill(result->host, sizeof(result->host), piece);
    spoil_err(&result->verdict, piece);
    for (size_t family = 0; family < RACE_FAMILIES; family++)
        spoil_err(&result->answers[family].err, piece);
    for (size_t i = 0; i < result->address_count; i++)
        spoil_address(&result->addresses[i], piece);
}
