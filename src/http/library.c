#include "library.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>

#include "tcpgreet/base/library.h"
#include "tcpgreet/core/query.h"

enum { PARAMETERS_MAX = 64 }; /* 56 bytes each of a connection's memory, a quarter of it */

#ifdef TCPGREET_HTTP_LIBRARY

#define FUNCTION(name) {"MHD_" #name, offsetof(struct mhd, name)},

struct mhd mhd;

const char *mhd_load(void)
{
    static const struct library_function functions[] = {MHD_FUNCTIONS(FUNCTION)};

    return mhd.run != NULL ? NULL
                           : library_load(TCPGREET_HTTP_LIBRARY, functions,
                                          sizeof(functions) / sizeof(functions[0]), &mhd);
}

#else

#define ADDRESS(name) .name = MHD_##name,

struct mhd mhd = {MHD_FUNCTIONS(ADDRESS)};

const char *mhd_load(void)
{
    return NULL;
}

#endif

static int fail_load(const char *option, const char *why, int native, struct err *err)
{
    if (native == EMFILE || native == ENFILE)
        return err_set(err, ERR_SYSTEM_DESCRIPTORS, native,
                       "%s: libmicrohttpd cannot be loaded: %s (raise ulimit -n)", option, why);
    if (native == ENOMEM)
        return err_set(err, ERR_INTERNAL, native,
                       "%s: libmicrohttpd cannot be loaded, memory is exhausted: %s", option, why);
    return err_set(err, ERR_USAGE, 0, "%s is not available here: libmicrohttpd cannot be loaded: %s", option,
                   why);
}

int http_available(const char *option, struct err *err)
{
    const char *why = mhd_load();

    if (why != NULL)
        return fail_load(option, why, errno, err);
    if (mhd.is_feature_supported(MHD_FEATURE_EPOLL) == MHD_YES)
        return 0;
    return err_set(err, ERR_USAGE, 0, "%s is not available here: this libmicrohttpd does not support epoll",
                   option);
}

void http_version_put(FILE *out)
{
    (void)fprintf(out, "libmicrohttpd %s (built with %x.%x.%x)\n",
                  mhd_load() == NULL ? mhd.get_version() : "cannot be loaded", MHD_VERSION >> 24,
                  MHD_VERSION >> 16 & 0xff, MHD_VERSION >> 8 & 0xff);
}

/* Returns: whether the header fields announce a body. */
static bool has_body(struct MHD_Connection *connection)
{
    const char *length =
        mhd.lookup_connection_value(connection, MHD_HEADER_KIND, MHD_HTTP_HEADER_CONTENT_LENGTH);
    const char *coding =
        mhd.lookup_connection_value(connection, MHD_HEADER_KIND, MHD_HTTP_HEADER_TRANSFER_ENCODING);

    return coding != NULL || (length != NULL && strspn(length, "0") != strlen(length));
}

static library_result count_host(void *context, enum MHD_ValueKind kind, const char *name, const char *value)
{
    unsigned *count = context;

    (void)kind;
    (void)value;
    *count += strcasecmp(name, MHD_HTTP_HEADER_HOST) == 0;
    return MHD_YES;
}

static unsigned count_hosts(struct MHD_Connection *connection)
{
    unsigned count = 0;

    (void)mhd.get_connection_values(connection, MHD_HEADER_KIND, count_host, &count);
    return count;
}

const char *library_refusal(struct MHD_Connection *connection, const char *method, const char *version,
                            enum http_status *status)
{
    if (strcmp(method, MHD_HTTP_METHOD_GET) != 0 && strcmp(method, MHD_HTTP_METHOD_HEAD) != 0) {
        *status = HTTP_METHOD_NOT_ALLOWED;
        return "only GET and HEAD are allowed";
    }
    *status = HTTP_BAD_REQUEST;
    if (strcmp(version, MHD_HTTP_VERSION_1_0) != 0 && count_hosts(connection) != 1)
        return "the request must have one Host field";
    return has_body(connection) ? "the request must not have a body" : NULL;
}

bool library_has_room(const char *uri)
{
    size_t count = 0;

    for (const char *at = query_begin(uri); *at != '\0'; at++)
        count += count == 0 || *at == '&';
    return count <= PARAMETERS_MAX && (count == 0 || strlen(uri) < HTTP_URI_BYTES);
}

void library_send_too_long(int fd)
{
    static const char answer[] =
        "HTTP/1.1 414 URI Too Long\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";

    (void)send(fd, answer, sizeof(answer) - 1, MSG_NOSIGNAL | MSG_DONTWAIT);
}

struct http_answer library_text(enum http_status status, const char *text)
{
    size_t length = strlen(text) + 1; /* with the line's end */
    struct http_answer answer = {.status = status,
                                 .content_type = "text/plain; charset=utf-8",
                                 .body = malloc(length + 1),
                                 .retry_after_s = status == HTTP_UNAVAILABLE};

    if (answer.body != NULL)
        answer.length = (size_t)snprintf(answer.body, length + 1, "%s\n", text);
    return answer;
}

static bool put_header(struct MHD_Response *response, const char *name, const char *value)
{
    return mhd.add_response_header(response, name, value) == MHD_YES;
}

static bool put_headers(struct MHD_Response *response, const struct http_answer *answer)
{
    char policy[256], seconds[16];

    (void)snprintf(policy, sizeof(policy),
                   "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'%s%s",
                   answer->style != NULL ? "; style-src " : "", answer->style != NULL ? answer->style : "");
    (void)snprintf(seconds, sizeof(seconds), "%u", answer->retry_after_s);
    return put_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, answer->content_type) &&
           put_header(response, MHD_HTTP_HEADER_CACHE_CONTROL, "no-store") &&
           put_header(response, "X-Content-Type-Options", "nosniff") &&
           put_header(response, "Content-Security-Policy", policy) &&
           put_header(response, "Cross-Origin-Resource-Policy", "same-origin") &&
           put_header(response, "Referrer-Policy", "no-referrer") &&
           (answer->status != HTTP_METHOD_NOT_ALLOWED ||
            put_header(response, MHD_HTTP_HEADER_ALLOW, "GET, HEAD")) &&
           (answer->retry_after_s == 0 || put_header(response, MHD_HTTP_HEADER_RETRY_AFTER, seconds));
}

struct MHD_Response *library_response(const struct http_answer *answer)
{
    struct MHD_Response *response =
        mhd.create_response_from_buffer(answer->length, answer->body, MHD_RESPMEM_MUST_FREE);

    if (response == NULL) {
        free(answer->body);
        return NULL;
    }
    if (put_headers(response, answer))
        return response;
    mhd.destroy_response(response);
    return NULL;
}
