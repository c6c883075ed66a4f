#include <stddef.h>

#include "contract/dialogue_contract.h"
#include "support/proxy_talk.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define REQUEST "CONNECT target.example:6000 HTTP/1.1\r\nHost: target.example:6000\r\n"
#define GREETING "\x05\x02\x00\x02"
#define CREDENTIALS                                                                                          \
    "\x01\x03"                                                                                               \
    "bob\x02pw"
#define CONNECT "\x05\x01\x00\x03\x0etarget.example\x17\x70"

static struct dialogue *make(void *storage, const void *config)
{
    proxy_init(storage, config);
    return storage;
}

/* The peer waits for each request. */
static const struct dialogue_step steps[] = {
    {sizeof GREETING - 1, 2},
    {sizeof GREETING CREDENTIALS - 1, 4},
    {sizeof GREETING CREDENTIALS CONNECT - 1, 14},
};

static const struct talk {
    const char *name;
    enum proxy_kind kind;
    struct bytes received, sent;
    enum dialogue_state ends;
    enum err_reason reason;
} talks[] = {
    {"HTTP proxy, connected", PROXY_HTTP,
     BYTES_LITERAL("HTTP/1.1 100 x\r\n\r\nHTTP/1.1 200 OK\r\nVia: a\r\n\r\n"),
     BYTES_LITERAL(REQUEST "Proxy-Authorization: Basic Ym9iOnB3\r\n\r\n"), DIALOGUE_OVER, ERR_OK},
    {"HTTP proxy, refused", PROXY_HTTP,
     BYTES_LITERAL("HTTP/1.1 407 No\r\nProxy-Authenticate: Digest realm=\"x\"\r\n\r\n"),
     BYTES_LITERAL(REQUEST "Proxy-Authorization: Basic Ym9iOnB3\r\n\r\n"), DIALOGUE_FAILED,
     ERR_CONNECT_PROXY},
    {"SOCKS5 proxy, connected", PROXY_SOCKS5,
     BYTES_LITERAL("\x05\x02\x01\x00\x05\x00\x00\x01\x7f\x00\x00\x01\x17\x70"),
     BYTES_LITERAL(GREETING CREDENTIALS CONNECT), DIALOGUE_OVER, ERR_OK},
    {"SOCKS5 proxy, refused", PROXY_SOCKS5,
     BYTES_LITERAL("\x05\x02\x01\x00\x05\x05\x00\x01\x7f\x00\x00\x01\x17\x70"),
     BYTES_LITERAL(GREETING CREDENTIALS CONNECT), DIALOGUE_FAILED, ERR_CONNECT_PROXY},
};

int main(void)
{
    int failed = 0;
    for (size_t i = 0; i < COUNT(talks); i++) {
        struct proxy_route route;
        struct proxy_config config;
        bool socks = talks[i].kind == PROXY_SOCKS5;
        proxy_talk_route(&route, &config, talks[i].kind, "bob", "pw");
        struct dialogue_factory factory = {.name = talks[i].name,
                                           .make = make,
                                           .size = sizeof(struct proxy),
                                           .config = &route,
                                           .received = talks[i].received,
                                           .steps = socks ? steps : NULL,
                                           .step_count = socks ? COUNT(steps) : 0,
                                           .sent = talks[i].sent,
                                           .ends = talks[i].ends,
                                           .reason = talks[i].reason,
                                           .room = PROXY_REQUEST_BYTES};
        failed += dialogue_contract_run(&factory);
    }
    return failed;
}
