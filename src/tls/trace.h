/* The trace of TLS messages. */
#ifndef TCPGREET_TLS_TRACE_H
#define TCPGREET_TLS_TRACE_H

#include <stddef.h>
#include <stdint.h>

#include "tcpgreet/tls/stream_tls.h"

void tls_trace_message(int fd, int sent, int content_type, const unsigned char *bytes, size_t length);
void tls_trace_agreed(int fd, const struct stream_tls_facts *facts, uint64_t begin_ns);

#endif
