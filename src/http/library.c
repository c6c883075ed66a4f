#include "library.h"

#include <stdlib.h>
#include <string.h>

#include "tcpgreet/base/library.h"

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

int http_available(const char *option, struct err *err)
{
    const char *why = mhd_load();

    if (why != NULL)
        return err_set(err, ERR_USAGE, 0, "%s is not available here: libmicrohttpd cannot be loaded: %s",
                       option, why);
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

bool library_has_body(struct MHD_Connection *connection)
{
    const char *length =
        mhd.lookup_connection_value(connection, MHD_HEADER_KIND, MHD_HTTP_HEADER_CONTENT_LENGTH);
    const char *coding =
        mhd.lookup_connection_value(connection, MHD_HEADER_KIND, MHD_HTTP_HEADER_TRANSFER_ENCODING);

    return coding != NULL || (length != NULL && strspn(length, "0") != strlen(length));
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
