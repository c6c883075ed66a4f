/* What -v reports of a client's connection, and the failure of one that --timeout interrupts. */
#ifndef TCPGREET_CLIENT_REPORT_H
#define TCPGREET_CLIENT_REPORT_H

#include "tcpgreet/base/err.h"
#include "tcpgreet/client/client.h"
#include "tcpgreet/link/dialer.h"
#include "tcpgreet/tls/stream_tls.h"

void client_report_connected(const struct dialer_facts *facts, bool to_proxy);

/* That the proxy has connected to the target. */
void client_report_tunnel(const struct proxy_route *route, const struct stream *stream);

void client_report_tls(const struct stream_tls_facts *facts);

/* Records that --timeout expired while the target was resolved or connected to. Returns: -1. */
int client_fail_dialing(const struct client_config *config, enum err_reason reason, struct err *err);

#endif
