#include "library.h"

#ifdef TCPGREET_HTTP_LIBRARY
#include <dlfcn.h>
#endif
#include <stdlib.h>
#include <string.h>

#ifdef TCPGREET_HTTP_LIBRARY

#define NAME(name) {"MHD_" #name, offsetof(struct library, name)},

struct library library;

const char *library_load(void)
{
    static const struct {
        const char *name;
        size_t offset;
    } functions[] = {LIBRARY_FUNCTIONS(NAME)};
    struct library found;

    if (library.run != NULL)
        return NULL;
    void *handle = dlopen(TCPGREET_HTTP_LIBRARY, RTLD_NOW | RTLD_LOCAL); /* never closed */
    if (handle == NULL)
        return dlerror();
    for (size_t i = 0; i < sizeof(functions) / sizeof(functions[0]); i++) {
        void *symbol = dlsym(handle, functions[i].name);
        if (symbol == NULL)
            return dlerror();
        memcpy((char *)&found + functions[i].offset, &symbol, sizeof(symbol)); /* POSIX: of the same form */
    }
    library = found;
    return NULL;
}

#else

#define ADDRESS(name) .name = MHD_##name,

struct library library = {LIBRARY_FUNCTIONS(ADDRESS)};

const char *library_load(void)
{
    return NULL;
}

#endif

int http_available(const char *option, struct err *err)
{
    const char *why = library_load();

    if (why != NULL)
        return err_set(err, ERR_USAGE, 0, "%s is not available here: libmicrohttpd cannot be loaded: %s",
                       option, why);
    if (library.is_feature_supported(MHD_FEATURE_EPOLL) == MHD_YES)
        return 0;
    return err_set(err, ERR_USAGE, 0, "%s is not available here: this libmicrohttpd does not support epoll",
                   option);
}

void http_version_put(FILE *out)
{
    (void)fprintf(out, "libmicrohttpd %s (built with %x.%x.%x)\n",
                  library_load() == NULL ? library.get_version() : "cannot be loaded", MHD_VERSION >> 24,
                  MHD_VERSION >> 16 & 0xff, MHD_VERSION >> 8 & 0xff);
}

bool library_has_body(struct MHD_Connection *connection)
{
    const char *length =
        library.lookup_connection_value(connection, MHD_HEADER_KIND, MHD_HTTP_HEADER_CONTENT_LENGTH);
    const char *coding =
        library.lookup_connection_value(connection, MHD_HEADER_KIND, MHD_HTTP_HEADER_TRANSFER_ENCODING);

    return coding != NULL || (length != NULL && strspn(length, "0") != strlen(length));
}

static bool put_header(struct MHD_Response *response, const char *name, const char *value)
{
    return library.add_response_header(response, name, value) == MHD_YES;
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
        library.create_response_from_buffer(answer->length, answer->body, MHD_RESPMEM_MUST_FREE);

    if (response == NULL) {
        free(answer->body);
        return NULL;
    }
    if (put_headers(response, answer))
        return response;
    library.destroy_response(response);
    return NULL;
}
