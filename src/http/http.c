#include "tcpgreet/http/http.h"

#include <errno.h>
#include <microhttpd.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "library.h"
#include "tcpgreet/core/query.h"
#include "tcpgreet/os/loop.h"

enum {
    MEMORY_BYTES = 16 * 1024, /* of a connection: its request's header fields, and its answer's */
    RUNS_PER_WAKE = 16,       /* of the library in a row; then the rest of the loop gets its turn */
    RUNS_AT_CLOSE = 64,       /* for the last answers */
    ACCEPTS_PER_WAKE = 64,
    PAUSE_MS = 500 /* until accepting is tried again */
};

/* Connections in the order in which they began to wait, so that the first is due first. */
struct queue {
    struct http_request *first;
    struct http_request *last;
};

/* Of a connection, for one request after the other. Invariant: in http->handled from the handler's call to
 * the reply, else in http->waiting. */
struct http_request {
    struct http *http;
    struct MHD_Connection *connection;
    struct queue *queue;
    struct http_request *previous, *next;
    uint64_t deadline_ms; /* in http->waiting */
    int fd;
    char *uri; /* NULL: between two requests, or too long */
    bool is_too_long;
    bool is_cut;       /* its connection is being closed */
    bool is_announced; /* it has been accepted by its header fields */
    bool is_inside;    /* the handler is running */
    bool is_suspended; /* until the reply */
    bool is_answered;
    unsigned status;
    struct MHD_Response *response; /* is_answered: NULL where memory is exhausted */
};

struct http_listener {
    struct http *http;
    uv_poll_t poll;
    struct listener listener;
};

struct http {
    uv_loop_t *loop;
    struct MHD_Daemon *daemon;
    uv_poll_t ready;    /* of the library's epoll descriptor */
    uv_timer_t again;   /* it has more to do without waiting */
    uv_timer_t overdue; /* the first of waiting */
    uv_timer_t pause;   /* accepting is stopped */
    struct queue waiting;
    struct queue handled;
    size_t connections;
    size_t max_connections;
    unsigned wait_ms;
    http_handle_fn *handle;
    http_failed_fn *failed;
    void *context;
    bool is_closing;
    bool is_failing; /* accepting failed, and has not worked since */
    size_t open_handles;
    size_t listener_count;
    struct http_listener listeners[];
};

static void leave(struct http_request *request)
{
    struct queue *queue = request->queue;
    if (queue == NULL)
        return;
    *(request->previous != NULL ? &request->previous->next : &queue->first) = request->next;
    *(request->next != NULL ? &request->next->previous : &queue->last) = request->previous;
    request->queue = NULL;
}

static void enter(struct queue *queue, struct http_request *request)
{
    leave(request);
    request->queue = queue;
    request->previous = queue->last;
    request->next = NULL;
    *(queue->last != NULL ? &queue->last->next : &queue->first) = request;
    queue->last = request;
}

static void on_overdue(uv_timer_t *timer);

/* The timer is left as it is when its connection leaves: then it expires once without effect. */
static void await(struct http_request *request)
{
    struct http *http = request->http;

    request->deadline_ms = uv_now(http->loop) + http->wait_ms;
    enter(&http->waiting, request);
    if (!uv_is_active((uv_handle_t *)&http->overdue))
        uv_timer_start(&http->overdue, on_overdue, http->wait_ms, 0);
}

static void run(struct http *http);

static void on_again(uv_timer_t *timer)
{
    run(timer->data);
}

/* Lets the library do what can be done without waiting. */
static void run(struct http *http)
{
    MHD_UNSIGNED_LONG_LONG timeout_ms;
    bool has_more = true;

    for (int i = 0; has_more && i < RUNS_PER_WAKE; i++)
        has_more = mhd.run(http->daemon) == MHD_YES &&
                   mhd.get_timeout(http->daemon, &timeout_ms) == MHD_YES && timeout_ms == 0;
    if (has_more)
        uv_timer_start(&http->again, on_again, 0, 0);
}

static void on_ready(uv_poll_t *poll, int status, int events)
{
    (void)status;
    (void)events;
    run(poll->data);
}

/* The library sees the end of the stream, and closes the connection. */
static void cut(struct http_request *request)
{
    leave(request);
    request->is_cut = true;
    shutdown(request->fd, SHUT_RDWR);
}

static void on_overdue(uv_timer_t *timer)
{
    struct http *http = timer->data;
    uint64_t now_ms = uv_now(http->loop);

    while (http->waiting.first != NULL && http->waiting.first->deadline_ms <= now_ms)
        cut(http->waiting.first);
    if (http->waiting.first != NULL)
        uv_timer_start(timer, on_overdue, http->waiting.first->deadline_ms - now_ms, 0);
    run(http);
}

static void forget(struct http_request *request)
{
    leave(request);
    free(request->uri);
    if (request->response != NULL)
        mhd.destroy_response(request->response);
    request->uri = NULL;
    request->response = NULL;
}

static void on_connection(void *context, struct MHD_Connection *connection, void **socket_context,
                          enum MHD_ConnectionNotificationCode code)
{
    struct http *http = context;
    struct http_request *request = *socket_context;

    if (code == MHD_CONNECTION_NOTIFY_CLOSED) {
        http->connections--;
        if (request != NULL)
            forget(request);
        free(request);
        return;
    }
    http->connections++;
    request = *socket_context = calloc(1, sizeof(*request));
    if (request == NULL)
        return; /* its first request closes it */
    request->http = http;
    request->connection = connection;
    request->fd = mhd.get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD)->connect_fd;
    await(request);
}

/* The library decodes the request target in place afterwards. Returns: the request. */
static void *on_uri(void *context, const char *uri, struct MHD_Connection *connection)
{
    struct http_request *request =
        mhd.get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT)->socket_context;

    (void)context;
    if (request == NULL)
        return NULL;
    uri = uri != NULL ? query_origin_form(uri) : "";
    request->is_too_long = strlen(uri) >= HTTP_URI_BYTES;
    request->uri = request->is_too_long ? NULL : strdup(uri);
    if (!library_has_room(uri)) {
        library_send_too_long(request->fd);
        cut(request);
    }
    return request;
}

static void on_completed(void *context, struct MHD_Connection *connection, void **request_context,
                         enum MHD_RequestTerminationCode code)
{
    struct http_request *request = *request_context;

    (void)context;
    (void)connection;
    (void)code;
    if (request == NULL)
        return;
    forget(request);
    request->is_answered = request->is_announced = false;
    await(request);
}

const char *http_request_uri(const struct http_request *request)
{
    return request->uri;
}

const char *http_request_header(const struct http_request *request, const char *name)
{
    return mhd.lookup_connection_value(request->connection, MHD_HEADER_KIND, name);
}

/* Returns: whether it is answered because no handler could. */
static bool refuse(struct http_request *request, const char *method, const char *version)
{
    enum http_status status;
    const char *why = library_refusal(request->connection, method, version, &status);

    if (why != NULL)
        http_reply_text(request, status, why);
    else if (request->is_too_long)
        http_reply_text(request, HTTP_URI_TOO_LONG, "the request target is too long");
    else if (request->uri == NULL)
        http_reply_text(request, HTTP_INTERNAL_ERROR, "not enough memory");
    return request->is_answered;
}

/* The part of a request that needs no handler, or the handler. */
static void answer(struct http_request *request, const char *method, const char *version)
{
    struct http *http = request->http;

    request->is_inside = true;
    if (http->is_closing)
        http_reply_text(request, HTTP_UNAVAILABLE, "shutting down");
    else if (!request->is_announced)
        request->is_announced = !refuse(request, method, version);
    else {
        enter(&http->handled, request);
        http->handle(http->context, request);
    }
    request->is_inside = false;
}

/* Called when the header fields are complete, when the request is, and when a suspended connection is
 * resumed. The library closes a connection after an answer to the first call. */
static library_result on_request(void *context, struct MHD_Connection *connection, const char *url,
                                 const char *method, const char *version, const char *upload,
                                 size_t *upload_size, void **request_context)
{
    struct http_request *request = *request_context;

    (void)context;
    (void)url;
    (void)upload;
    (void)upload_size;
    if (request == NULL || request->is_cut)
        return MHD_NO;
    bool is_first = !request->is_announced;
    if (!request->is_answered)
        answer(request, method, version);
    if (request->is_answered)
        return request->response != NULL ? mhd.queue_response(connection, request->status, request->response)
                                         : MHD_NO;
    request->is_suspended = !is_first;
    if (!is_first)
        mhd.suspend_connection(connection);
    return MHD_YES;
}

void http_reply(struct http_request *request, const struct http_answer *answer)
{
    request->response = library_response(answer);
    request->status = answer->status;
    request->is_answered = true;
    await(request);
    if (request->is_inside || !request->is_suspended)
        return;
    request->is_suspended = false;
    mhd.resume_connection(request->connection); /* which wakes nothing where the event loop is external */
    uv_timer_start(&request->http->again, on_again, 0, 0);
}

void http_reply_text(struct http_request *request, enum http_status status, const char *text)
{
    struct http_answer answer = library_text(status, text);
    http_reply(request, &answer);
}

static void on_readable(uv_poll_t *poll, int status, int events);

static void on_pause_over(uv_timer_t *timer)
{
    struct http *http = timer->data;

    for (size_t i = 0; i < http->listener_count; i++)
        if (uv_poll_start(&http->listeners[i].poll, UV_READABLE, on_readable) != 0)
            uv_timer_start(timer, on_pause_over, PAUSE_MS, 0);
}

static void pause_accepting(struct http *http)
{
    for (size_t i = 0; i < http->listener_count; i++)
        uv_poll_stop(&http->listeners[i].poll);
    uv_timer_start(&http->pause, on_pause_over, PAUSE_MS, 0);
}

/* Makes room for a connection that waits. Returns: whether there is room. */
static bool make_room(struct http *http)
{
    if (http->connections >= http->max_connections && http->waiting.first != NULL) {
        cut(http->waiting.first);
        run(http);
    }
    return http->connections < http->max_connections;
}

/* Returns: whether another connection may be waiting. */
static bool accept_one(struct http_listener *at)
{
    struct http *http = at->http;
    struct endpoint peer;
    struct err err = {0};
    int fd;

    enum listener_result result = listener_accept(&at->listener, &fd, &peer, &err);
    if (result == LISTENER_ACCEPTED) /* the library takes fd, also on failure */
        (void)mhd.add_connection(http->daemon, fd, &peer.address.any, endpoint_length(&peer));
    http->is_failing = http->is_failing && result != LISTENER_ACCEPTED;
    if (result == LISTENER_ACCEPTED || result == LISTENER_LOST || result == LISTENER_EMPTY)
        return result != LISTENER_EMPTY;
    pause_accepting(http);
    if (!http->is_failing || result == LISTENER_FAILED)
        http->failed(http->context, &err, result == LISTENER_FAILED);
    http->is_failing = true;
    return false;
}

static void on_readable(uv_poll_t *poll, int status, int events)
{
    struct http_listener *at = poll->data;
    struct http *http = at->http;

    (void)status;
    (void)events;
    if (!make_room(http)) {
        pause_accepting(http);
        return;
    }
    size_t room = http->max_connections - http->connections;
    /* Whether another one waits where there is no room, the next wake shows. */
    for (size_t i = 0; i < ACCEPTS_PER_WAKE && i < room && accept_one(at); i++)
        continue;
    run(http); /* since libmicrohttpd 1.0 that takes, and counts, what was added */
}

static struct MHD_Daemon *start_daemon(struct http *http)
{
    return mhd.start_daemon(MHD_USE_EPOLL | MHD_USE_NO_LISTEN_SOCKET | MHD_ALLOW_SUSPEND_RESUME, 0, NULL,
                            NULL, on_request, http, MHD_OPTION_CONNECTION_LIMIT,
                            (unsigned)http->max_connections, MHD_OPTION_CONNECTION_MEMORY_LIMIT,
                            (size_t)MEMORY_BYTES, MHD_OPTION_NOTIFY_CONNECTION, on_connection, (void *)http,
                            MHD_OPTION_URI_LOG_CALLBACK, on_uri, (void *)NULL, MHD_OPTION_NOTIFY_COMPLETED,
                            on_completed, (void *)NULL, MHD_OPTION_END);
}

static int watch(struct http *http, uv_poll_t *poll, int fd, uv_poll_cb callback)
{
    int result = uv_poll_init(http->loop, poll, fd);
    return result == 0 ? uv_poll_start(poll, UV_READABLE, callback) : result;
}

/* Returns: 0, or an error of libuv. */
static int start_handles(struct http *http)
{
    const union MHD_DaemonInfo *epoll = mhd.get_daemon_info(http->daemon, MHD_DAEMON_INFO_EPOLL_FD);
    uv_timer_t *timers[] = {&http->again, &http->overdue, &http->pause};

    for (size_t i = 0; i < sizeof(timers) / sizeof(timers[0]); i++) {
        uv_timer_init(http->loop, timers[i]); /* which cannot fail */
        timers[i]->data = http;
    }
    http->ready.data = http;
    int result = epoll != NULL ? watch(http, &http->ready, epoll->epoll_fd, on_ready) : UV_ENOTSUP;
    for (size_t i = 0; result == 0 && i < http->listener_count; i++)
        result = watch(http, &http->listeners[i].poll, http->listeners[i].listener.fd, on_readable);
    return result;
}

static struct http *new_http(uv_loop_t *loop, const struct http_config *config)
{
    struct http *http = calloc(1, sizeof(*http) + config->listener_count * sizeof(http->listeners[0]));

    for (size_t i = 0; i < config->listener_count; i++) {
        struct listener listener = config->listeners[i];
        if (http == NULL)
            listener_close(&listener);
        else
            http->listeners[i] = (struct http_listener){http, {.data = &http->listeners[i]}, listener};
    }
    if (http == NULL)
        return NULL;
    http->loop = loop;
    http->max_connections = config->max_connections;
    http->wait_ms = config->wait_ms;
    http->handle = config->handle;
    http->failed = config->failed;
    http->context = config->context;
    http->listener_count = config->listener_count;
    return http;
}

struct http *http_open(uv_loop_t *loop, const struct http_config *config, struct err *err)
{
    struct http *http = new_http(loop, config);

    if (http == NULL) {
        err_set(err, ERR_INTERNAL, 0, "no memory for the HTTP listener");
        return NULL;
    }
    http->daemon = start_daemon(http);
    int result = http->daemon != NULL ? start_handles(http) : uv_translate_sys_error(errno);
    if (result == 0)
        return http;
    loop_fail(err, result, "cannot start the HTTP listener");
    http_close(http);
    return NULL;
}

static void on_handle_closed(uv_handle_t *handle)
{
    struct http *http = handle->data;
    if (--http->open_handles == 0)
        free(http);
}

static void close_handle(struct http *http, uv_handle_t *handle)
{
    if (handle->type == UV_UNKNOWN_HANDLE)
        return;
    handle->data = http;
    http->open_handles++;
    uv_close(handle, on_handle_closed);
}

static void close_handles(struct http *http)
{
    http->open_handles = 1;
    close_handle(http, (uv_handle_t *)&http->ready);
    close_handle(http, (uv_handle_t *)&http->again);
    close_handle(http, (uv_handle_t *)&http->overdue);
    close_handle(http, (uv_handle_t *)&http->pause);
    for (size_t i = 0; i < http->listener_count; i++) {
        close_handle(http, (uv_handle_t *)&http->listeners[i].poll);
        listener_close(&http->listeners[i].listener);
    }
}

/* The library must not be stopped while a connection is suspended. */
static void answer_all(struct http *http)
{
    http->is_closing = true;
    while (http->handled.first != NULL)
        http_reply_text(http->handled.first, HTTP_UNAVAILABLE, "shutting down");
    for (int i = 0; i < RUNS_AT_CLOSE; i++)
        (void)mhd.run(http->daemon);
}

void http_close(struct http *http)
{
    if (http == NULL)
        return;
    if (http->daemon != NULL)
        answer_all(http);
    close_handles(http);
    if (http->daemon != NULL)
        mhd.stop_daemon(http->daemon);
    if (--http->open_handles == 0)
        free(http);
}
