#include "tcpgreet/http/body.h"

#include <stdlib.h>

static void fail(struct http_request *request)
{
    http_reply_text(request, HTTP_INTERNAL_ERROR, "not enough memory");
}

bool http_body_open(struct http_body *body, struct http_request *request)
{
    *body = (struct http_body){0};
    body->out = open_memstream(&body->data, &body->length);
    if (body->out == NULL)
        fail(request);
    return body->out != NULL;
}

void http_body_reply(struct http_request *request, struct http_body *body, const char *content_type,
                     const char *style)
{
    bool is_whole = ferror(body->out) == 0;

    if (fclose(body->out) != 0 || !is_whole) {
        free(body->data);
        fail(request);
        return;
    }
    http_reply(request, &(struct http_answer){.status = HTTP_OK,
                                              .content_type = content_type,
                                              .style = style,
                                              .body = body->data,
                                              .length = body->length});
}
