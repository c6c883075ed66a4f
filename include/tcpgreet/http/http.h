/* An HTTP/1.1 server for metrics and small pages, on a loop: libmicrohttpd behind listeners of ours. GET and
 * HEAD only, no request has a body, and what keeps a connection waiting is closed. */
#ifndef TCPGREET_HTTP_HTTP_H
#define TCPGREET_HTTP_HTTP_H

#include <stddef.h>
#include <stdio.h>
#include <uv.h>

#include "tcpgreet/base/err.h"
#include "tcpgreet/net/listener.h"

enum {
    HTTP_URI_BYTES = 4096,   /* a longer request target is answered 414 */
    HTTP_WAIT_MS = 75 * 1000 /* a usual wait_ms: above Prometheus's default interval, so that its connections
                                are kept */
};

enum http_status {
    HTTP_OK = 200,
    HTTP_BAD_REQUEST = 400,
    HTTP_FORBIDDEN = 403,
    HTTP_NOT_FOUND = 404,
    HTTP_METHOD_NOT_ALLOWED = 405,
    HTTP_URI_TOO_LONG = 414,
    HTTP_INTERNAL_ERROR = 500,
    HTTP_UNAVAILABLE = 503
};

struct http;

/* One request. It stays until it is answered, also where its peer has gone. */
struct http_request;

/* Calls back from the loop, once for each request. It must call http_reply once, from inside or later. */
typedef void http_handle_fn(void *context, struct http_request *request);

/* Calls back from the loop: accepting from a listener has failed. for_good: it can never work again;
 * otherwise it is tried again after a pause. It may not call http_close. */
typedef void http_failed_fn(void *context, const struct err *err, bool for_good);

/* Shape: 1 <= max_connections; above it, the connection that has waited longest for its request is closed. */
struct http_config {
    const struct listener *listeners; /* taken, also on failure */
    size_t listener_count;
    size_t max_connections;
    unsigned
        wait_ms; /* for a whole request to come, from the end of the one before, and for an answer to go */
    http_handle_fn *handle;
    http_failed_fn *failed;
    void *context;
};

/* What answers a request. Shape: body: from malloc, taken by http_reply; NULL: empty. style: the
 * Content-Security-Policy's style-src; NULL: none. retry_after_s 0: none. */
struct http_answer {
    enum http_status status;
    const char *content_type;
    const char *style;
    char *body;
    size_t length;
    unsigned retry_after_s;
};

/* Loads libmicrohttpd. Returns: 0, or -1 with err where this build or system cannot do what an option
 * requires. Errors: usage; system-descriptors, internal: it cannot be loaded now. Thread: one, as for
 * http_version_put. */
int http_available(const char *option, struct err *err);

/* Writes the line of --version. */
void http_version_put(FILE *out);

/* Serves from now on. Shape: http_available has returned 0. Returns: NULL with err. Errors:
 * system-descriptors; internal. Thread: the loop's, as for all functions below. Source: libmicrohttpd manual,
 * "External event loop". */
struct http *http_open(uv_loop_t *loop, const struct http_config *config, struct err *err);

/* Stops at once: requests without an answer are answered 503, connections are closed. Takes: http, and what
 * it holds; the loop must still run, to close its handles. Shape: NULL is allowed. */
void http_close(struct http *http);

/* Returns: the request target as it was sent, neither decoded nor split, from its first slash on:
 * "/probe?a=%20";
 * "" for one without. Valid until the reply. */
const char *http_request_uri(const struct http_request *request);

/* Returns: the value of a header field, of several the first; NULL where there is none. Valid until the
 * reply. */
const char *http_request_header(const struct http_request *request, const char *name);

/* Answers. Takes: request, answer->body. */
void http_reply(struct http_request *request, const struct http_answer *answer);

/* The same with one line of text. Borrows: text. */
void http_reply_text(struct http_request *request, enum http_status status, const char *text);

#endif
