#include "transfer.h"

enum { WHERE_BYTES = 120 };

static void on_up(void *context)
{
    struct probe_transfer *transfer = context;
    transfer->is_up = true;
}

static void on_closing(void *context)
{
    struct probe_transfer *transfer = context;
    const struct volume *volume = &transfer->volume;

    transfer->outcome =
        (struct probe_volume){.names = volume->received.number,
                              .sent_bytes = volume->sent_bytes - buf_length(&transfer->conn.out),
                              .received_bytes = volume->received_bytes};
}

/* A failure of the stream does not name the place. */
static void on_done(void *context, const struct conn_result *result)
{
    struct probe_transfer *transfer = context;
    char where[WHERE_BYTES];
    struct err placed = {0};

    if (result->err != NULL && transfer->is_up && transfer->volume.end == VOLUME_END_NONE) {
        err_set_from(&placed, result->err, "%s, %s", result->err->text,
                     volume_where(&transfer->volume, where, sizeof where));
        transfer->done(transfer->context, &placed);
    } else {
        transfer->done(transfer->context, result->err);
    }
}

int probe_transfer_start(struct probe_transfer *transfer, struct probe_scope *scope,
                         const struct endpoint *peer, struct tls_session *session, struct err *err)
{
    static const struct conn_events events = {.up = on_up, .closing = on_closing, .done = on_done};
    const struct conn_config config = {.shared = scope->plan.shared,
                                       .dialogue = &transfer->volume.dialogue,
                                       .events = &events,
                                       .context = transfer,
                                       .handshake_ms = scope->plan.answer_timeout_ms};
    struct stream *stream = probe_scope_connect(scope, peer, session, err);

    volume_init(&transfer->volume, scope->plan.volume_bytes, scope->plan.answer_timeout_ms);
    transfer->is_up = false;
    return stream != NULL ? conn_start(&transfer->conn, &config, stream, err) : -1;
}

void probe_transfer_cancel(struct probe_transfer *transfer)
{
    conn_abort(&transfer->conn, NULL);
}
