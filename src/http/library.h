/* What libmicrohttpd can do here, and its form of an answer. */
#ifndef TCPGREET_HTTP_LIBRARY_H
#define TCPGREET_HTTP_LIBRARY_H

#include <microhttpd.h>
#include <stdbool.h>

#include "tcpgreet/http/http.h"

#if MHD_VERSION < 0x00097002
typedef int library_result;
#else
typedef enum MHD_Result library_result;
#endif

/* What is called of the library, which is loaded where it is needed: with all that it depends on it would be
 * a third of the time that every other mode takes to start. */
#define MHD_FUNCTIONS(X)                                                                                     \
    X(add_connection)                                                                                        \
    X(add_response_header)                                                                                   \
    X(create_response_from_buffer)                                                                           \
    X(destroy_response)                                                                                      \
    X(get_connection_info)                                                                                   \
    X(get_daemon_info)                                                                                       \
    X(get_timeout)                                                                                           \
    X(get_version)                                                                                           \
    X(is_feature_supported)                                                                                  \
    X(lookup_connection_value)                                                                               \
    X(queue_response)                                                                                        \
    X(resume_connection)                                                                                     \
    X(run)                                                                                                   \
    X(start_daemon)                                                                                          \
    X(stop_daemon)                                                                                           \
    X(suspend_connection)

/* Invariant: no function is NULL after mhd_load. */
#define MHD_POINTER(name) __typeof__(MHD_##name) *name;
extern struct mhd {
    MHD_FUNCTIONS(MHD_POINTER)
} mhd;

/* Loads the library, unless it is loaded. Returns: NULL, or why it cannot be loaded. Thread: one. */
const char *mhd_load(void);

/* Returns: whether the header fields of a request announce a body. Source: RFC 9112 section 6. */
bool library_has_body(struct MHD_Connection *connection);

/* The answer with every header field that is ours. Takes: answer->body. Returns: NULL where memory is
 * exhausted. */
struct MHD_Response *library_response(const struct http_answer *answer);

#endif
