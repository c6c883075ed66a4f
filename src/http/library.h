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

/* Returns: whether the header fields of a request announce a body. Source: RFC 9112 section 6. */
bool library_has_body(struct MHD_Connection *connection);

/* The answer with every header field that is ours. Takes: answer->body. Returns: NULL where memory is
 * exhausted. */
struct MHD_Response *library_response(const struct http_answer *answer);

#endif
