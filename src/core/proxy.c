#include "tcpgreet/core/proxy.h"

#include "proxy_dialogue.h"

void proxy_init(struct proxy *proxy, const struct proxy_route *route)
{
    const struct dialogue_ops *ops = route->proxy->kind == PROXY_HTTP ? &proxy_http_ops : &proxy_socks_ops;
    *proxy = (struct proxy){
        .dialogue = {.ops = ops, .deadline_ms = DIALOGUE_NEVER, .state = DIALOGUE_RUNNING}, .route = route};
}
