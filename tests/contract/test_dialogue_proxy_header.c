#include <stddef.h>

#include "contract/dialogue_contract.h"
#include "tcpgreet/core/proxy_header_dialogue.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define LINE "PROXY TCP4 127.0.0.1 127.0.0.1 5000 443\r\n"
#define V2 "\r\n\r\n\0\r\nQUIT\n"

static enum err_reason receive(void *context, const struct proxy_header *header, struct bytes raw)
{
    (void)header;
    (void)raw;
    return *(const enum err_reason *)context;
}

static struct dialogue *make_receiver(void *storage, const void *config)
{
    proxy_header_receive(storage, receive, (void *)config);
    return storage;
}

static struct dialogue *make_sender(void *storage, const void *config)
{
    const struct endpoint source = endpoint_loopback(AF_INET, 5000),
                          destination = endpoint_loopback(AF_INET, 443);
    (void)config;
    proxy_header_send(storage, PROXY_HEADER_V1, &source, &destination);
    return storage;
}

static const struct talk {
    const char *name;
    struct dialogue *(*make)(void *storage, const void *config);
    struct bytes received, sent;
    enum dialogue_state ends;
    enum err_reason reason;
    enum err_reason verdict; /* of what is called back */
} talks[] = {
    {"PROXY header, version 1", make_receiver, BYTES_LITERAL(LINE), {0}, DIALOGUE_OVER, ERR_OK, ERR_OK},
    {"PROXY header, version 2",
     make_receiver,
     BYTES_LITERAL(V2 "\x20\0\0\0"),
     {0},
     DIALOGUE_OVER,
     ERR_OK,
     ERR_OK},
    {"PROXY header, absent",
     make_receiver,
     BYTES_LITERAL("Michael\n"),
     {0},
     DIALOGUE_FAILED,
     ERR_CONNECT_PROXY,
     ERR_OK},
    {"PROXY header, cut",
     make_receiver,
     BYTES_LITERAL("PROXY TCP4 "),
     {0},
     DIALOGUE_FAILED,
     ERR_CONNECT_PROXY,
     ERR_OK},
    {"PROXY header, rejected",
     make_receiver,
     BYTES_LITERAL(LINE),
     {0},
     DIALOGUE_FAILED,
     ERR_DIALOGUE_EARLY_END,
     ERR_DIALOGUE_EARLY_END},
    {"PROXY header, sent", make_sender, {0}, BYTES_LITERAL(LINE), DIALOGUE_OVER, ERR_OK, ERR_OK},
};

int main(void)
{
    int failed = 0;
    for (size_t i = 0; i < COUNT(talks); i++) {
        bool sends = talks[i].make == make_sender;
        struct dialogue_factory factory = {.name = talks[i].name,
                                           .make = talks[i].make,
                                           .size = sends ? sizeof(struct proxy_header_sender)
                                                         : sizeof(struct proxy_header_receiver),
                                           .config = &talks[i].verdict,
                                           .received = talks[i].received,
                                           .sent = talks[i].sent,
                                           .ends = talks[i].ends,
                                           .reason = talks[i].reason,
                                           .room = PROXY_HEADER_V1_MAX};
        failed += dialogue_contract_run(&factory);
    }
    return failed;
}
