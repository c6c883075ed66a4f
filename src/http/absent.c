#include "tcpgreet/http/http.h"

int http_available(const char *option, struct err *err)
{
    return err_set(err, ERR_USAGE, 0, "%s is not available in this build (it needs libmicrohttpd)", option);
}

void http_version_put(FILE *out)
{
    (void)fprintf(out, "built without libmicrohttpd\n");
}

struct http *http_open(uv_loop_t *loop, const struct http_config *config, struct err *err)
{
    (void)loop;
    for (size_t i = 0; i < config->listener_count; i++) {
        struct listener listener = config->listeners[i];
        listener_close(&listener);
    }
    err_set(err, ERR_INTERNAL, 0, "HTTP is not available in this build (it needs libmicrohttpd)");
    return NULL;
}

void http_close(struct http *http)
{
    (void)http;
}

const char *http_request_uri(const struct http_request *request)
{
    (void)request;
    return "";
}

const char *http_request_header(const struct http_request *request, const char *name)
{
    (void)request;
    (void)name;
    return NULL;
}

void http_reply(struct http_request *request, const struct http_answer *answer)
{
    (void)request;
    (void)answer;
}

void http_reply_text(struct http_request *request, enum http_status status, const char *text)
{
    (void)request;
    (void)status;
    (void)text;
}
