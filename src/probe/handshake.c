#include "handshake.h"

#include <errno.h>

#include "tcpgreet/link/stream_preamble.h"

/* From the lowest layer to the highest. */
static const struct {
    enum probe_phase phase;
    enum stream_layer layer;
} layers[] = {{PROBE_PROXY, STREAM_LAYER_PROXY},
              {PROBE_STARTTLS, STREAM_LAYER_STARTTLS},
              {PROBE_TLS, STREAM_LAYER_TLS}};

enum { LAYERS = sizeof layers / sizeof layers[0] };

static bool is_used(const struct probe_scope *scope, enum probe_phase phase)
{
    if (phase == PROBE_PROXY)
        return scope->plan.proxy != NULL;
    return phase == PROBE_STARTTLS ? probe_scope_starttls(scope) != NULL : probe_scope_uses_tls(scope);
}

/* Returns: the first layer in use, from one upwards; LAYERS: none. */
static size_t next_layer(const struct probe_scope *scope, size_t from)
{
    while (from < LAYERS && !is_used(scope, layers[from].phase))
        from++;
    return from;
}

static bool begin_layer(const struct probe_scope *scope, struct probe_address *record, size_t from,
                        int64_t at_ns)
{
    size_t layer = next_layer(scope, from);
    if (layer == LAYERS)
        return false;
    record->last = layers[layer].phase;
    record->spans[record->last].begin_ns = at_ns;
    return true;
}

bool probe_handshake_begin(const struct probe_scope *scope, struct probe_address *record, int64_t at_ns)
{
    return begin_layer(scope, record, 0, at_ns);
}

void probe_handshake_follow(const struct probe_scope *scope, struct probe_address *record,
                            const struct stream *stream)
{
    for (size_t i = 0; i < LAYERS; i++) {
        struct stream_preamble_facts facts;
        if (record->last != layers[i].phase || layers[i].phase == PROBE_TLS ||
            !stream_preamble_facts(stream, layers[i].layer, &facts) || facts.end_ns == 0)
            continue;
        int64_t end_ns = (int64_t)(facts.end_ns - scope->begin_ns);
        record->spans[layers[i].phase].end_ns = end_ns;
        begin_layer(scope, record, i + 1, end_ns);
    }
}

void probe_handshake_reset(const struct probe_scope *scope, struct err *err)
{
    struct err_facts facts = {.detail = ERR_DETAIL_TLS_UNANSWERED, .native = ECONNRESET};
    struct err_facts of_proxy = {.detail = ERR_DETAIL_PROXY_CLOSED, .native = ECONNRESET};
    enum probe_phase first = layers[next_layer(scope, 0)].phase;

    if (first == PROBE_PROXY)
        err_set_facts(err, ERR_CONNECT_PROXY, &of_proxy, "the proxy reset the connection");
    else if (first == PROBE_STARTTLS)
        err_set(err, ERR_TLS_STARTTLS, ECONNRESET, "the peer reset the connection before STARTTLS");
    else
        err_set_facts(err, ERR_TLS_PROTOCOL, &facts,
                      "the peer reset the connection on the ClientHello without a reply");
}
