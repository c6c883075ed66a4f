#include "tcpgreet/core/proxy_header_dialogue.h"

#include <stdio.h>
#include <string.h>

#include "tcpgreet/base/escape.h"
#include "tcpgreet/base/trace.h"

enum { TEXT_BYTES = 1024 };

static void append(char text[TEXT_BYTES], const char *name, struct bytes value)
{
    char shown[200];
    size_t length = strlen(text);

    if (value.length > 0)
        snprintf(text + length, TEXT_BYTES - length, ", %s \"%s\"", name,
                 escape_quoted(value, shown, sizeof shown));
}

static void trace_header(enum trace_step step, const struct proxy_header *header)
{
    char text[TEXT_BYTES];

    proxy_header_format(header, text);
    append(text, "authority", header->authority);
    append(text, "ALPN", header->alpn);
    append(text, "unique ID", header->unique_id);
    append(text, "namespace", header->netns);
    append(text, "TLS", header->ssl.version);
    append(text, "cipher", header->ssl.cipher);
    append(text, "signature algorithm", header->ssl.signature_algorithm);
    append(text, "key algorithm", header->ssl.key_algorithm);
    append(text, header->ssl.verify == 0 ? "client certificate" : "unverified client certificate",
           header->ssl.common_name);
    trace(.step = step, .fd = -1, .arguments = text);
}

static size_t ignore(struct dialogue *dialogue, struct bytes in, struct sink *out, int64_t now_ms)
{
    (void)dialogue;
    (void)in;
    (void)out;
    (void)now_ms;
    return 0;
}

static void begin_sending(struct dialogue *dialogue, struct sink *out, int64_t now_ms)
{
    struct proxy_header_sender *sender = (struct proxy_header_sender *)dialogue;
    struct bytes raw = {sender->bytes, sender->length};
    struct proxy_header header;
    size_t length;

    (void)now_ms;
    sink_put(out, raw);
    dialogue->state = DIALOGUE_OVER;
    if (trace_sink != NULL && proxy_header_parse(raw, &header, &length) == PROXY_HEADER_WHOLE)
        trace_header(TRACE_PROXY_HEADER, &header);
}

static size_t cut_sending(struct dialogue *dialogue, struct bytes in, struct sink *out, int64_t now_ms)
{
    dialogue->state = DIALOGUE_FAILED;
    return ignore(dialogue, in, out, now_ms);
}

static void fail_sending(const struct dialogue *dialogue, struct bytes rest, struct err *err)
{
    (void)rest;
    err_set(err, ERR_CONNECT_RESET, 0, "the peer %s the connection before the PROXY header was sent",
            dialogue_ended(dialogue));
}

void proxy_header_send(struct proxy_header_sender *sender, enum proxy_header_version version,
                       const struct endpoint *source, const struct endpoint *destination)
{
    static const struct dialogue_ops ops = {.begin = begin_sending,
                                            .receive = ignore,
                                            .eof = cut_sending,
                                            .expire = cut_sending,
                                            .failure = fail_sending};

    *sender = (struct proxy_header_sender){
        .dialogue = {.ops = &ops, .deadline_ms = DIALOGUE_NEVER, .state = DIALOGUE_RUNNING}};
    sender->length = (uint8_t)proxy_header_write(version, source, destination, sender->bytes);
}

static void begin_receiving(struct dialogue *dialogue, struct sink *out, int64_t now_ms)
{
    (void)dialogue;
    (void)out;
    (void)now_ms;
}

static size_t receive(struct dialogue *dialogue, struct bytes in, struct sink *out, int64_t now_ms)
{
    struct proxy_header_receiver *receiver = (struct proxy_header_receiver *)dialogue;
    struct proxy_header header;
    size_t length = 0;

    (void)out;
    (void)now_ms;
    receiver->result = proxy_header_parse(in, &header, &length);
    if (receiver->result == PROXY_HEADER_PARTIAL)
        return 0;
    dialogue->state = DIALOGUE_FAILED;
    if (receiver->result != PROXY_HEADER_WHOLE)
        return 0;
    if (trace_sink != NULL)
        trace_header(TRACE_PROXIED, &header);
    receiver->refusal = receiver->received(receiver->context, &header, (struct bytes){in.data, length});
    if (receiver->refusal != ERR_OK)
        return 0;
    dialogue->state = DIALOGUE_OVER;
    return length;
}

static size_t end_with_peer(struct dialogue *dialogue, struct bytes in, struct sink *out, int64_t now_ms)
{
    dialogue->state = DIALOGUE_FAILED;
    return ignore(dialogue, in, out, now_ms);
}

static size_t expire(struct dialogue *dialogue, struct bytes in, struct sink *out, int64_t now_ms)
{
    ((struct proxy_header_receiver *)dialogue)->is_expired = true;
    return end_with_peer(dialogue, in, out, now_ms);
}

static void fail_partial(const struct proxy_header_receiver *receiver, struct bytes rest, struct err *err)
{
    if (receiver->is_expired)
        err_set(err, ERR_DIALOGUE_TIMEOUT, 0, "no complete PROXY header in time");
    else if (rest.length == 0)
        err_set(err, ERR_DIALOGUE_EARLY_END, 0, "the peer ended before it sent a PROXY header");
    else
        err_set(err, ERR_CONNECT_PROXY, 0, "the peer ended within its PROXY header");
}

static void fail_receiving(const struct dialogue *dialogue, struct bytes rest, struct err *err)
{
    enum { QUOTED_BYTES = 48, SHOWN_BYTES = 200 };
    static const char *const texts[] = {[PROXY_HEADER_ABSENT] = "no PROXY header: it sent",
                                        [PROXY_HEADER_MALFORMED] = "the PROXY header is malformed:",
                                        [PROXY_HEADER_TOO_LONG] = "the PROXY header is too long:",
                                        [PROXY_HEADER_CHECKSUM] = "the PROXY header has a wrong CRC32C:"};
    const struct proxy_header_receiver *receiver = (const struct proxy_header_receiver *)dialogue;
    char shown[SHOWN_BYTES];

    rest.length = rest.length < QUOTED_BYTES ? rest.length : QUOTED_BYTES;
    if (receiver->result == PROXY_HEADER_PARTIAL)
        fail_partial(receiver, rest, err);
    else if (receiver->refusal == ERR_INTERNAL)
        err_set(err, ERR_INTERNAL, 0, "not enough memory for a connection");
    else if (receiver->result == PROXY_HEADER_WHOLE)
        err_set(err, receiver->refusal, 0, "rejected by a limit");
    else
        err_set_facts(err, ERR_CONNECT_PROXY, &(struct err_facts){.received = rest}, "%s \"%s\"",
                      texts[receiver->result], escape_quoted(rest, shown, sizeof shown));
}

void proxy_header_receive(struct proxy_header_receiver *receiver, proxy_header_fn *received, void *context)
{
    static const struct dialogue_ops ops = {.begin = begin_receiving,
                                            .receive = receive,
                                            .eof = end_with_peer,
                                            .expire = expire,
                                            .failure = fail_receiving};

    *receiver = (struct proxy_header_receiver){
        .dialogue = {.ops = &ops, .deadline_ms = DIALOGUE_NEVER, .state = DIALOGUE_RUNNING},
        .received = received,
        .context = context};
}
