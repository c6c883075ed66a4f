/* The body of an answer, while it is being written. */
#ifndef TCPGREET_HTTP_BODY_H
#define TCPGREET_HTTP_BODY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "tcpgreet/http/http.h"

/* Source: Prometheus documentation, "Exposition formats". */
#define HTTP_METRICS_TYPE "text/plain; version=0.0.4; charset=utf-8"

struct http_body {
    FILE *out; /* to be written to */
    char *data;
    size_t length;
};

/* Returns: false where memory is exhausted, and request is answered so. */
bool http_body_open(struct http_body *body, struct http_request *request);

/* Answers with what was written, 200, or 500 where memory was exhausted. Takes: request, body. Shape: style
 * as of struct http_answer. */
void http_body_reply(struct http_request *request, struct http_body *body, const char *content_type,
                     const char *style);

#endif
