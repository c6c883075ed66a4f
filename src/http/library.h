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
    X(get_connection_values)                                                                                 \
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

/* Loads the library, unless it is loaded. Returns: NULL, or why it cannot be loaded, with errno as
 * library_load. Thread: one. */
const char *mhd_load(void);

/* Returns: whether there is surely room for the parameters of a request target. Otherwise versions before 1.0
 * answer 431, discard the header fields, and go on to wait for them. */
bool library_has_room(const char *uri);

/* Answers 414 without the library. The answer may be lost: the connection is to be closed all the same. */
void library_send_too_long(int fd);

/* Returns: NULL, or why no handler is to see a request, with *status. Source: RFC 9112 sections 3.2 and 6. */
const char *library_refusal(struct MHD_Connection *connection, const char *method, const char *version,
                            enum http_status *status);

/* Returns: an answer of one line; its body is empty where memory is exhausted. */
struct http_answer library_text(enum http_status status, const char *text);

/* The answer with every header field that is ours. Takes: answer->body. Returns: NULL where memory is
 * exhausted. */
struct MHD_Response *library_response(const struct http_answer *answer);

#endif
