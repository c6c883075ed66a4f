/* The options of --probe for a query of the exporter. */
#ifndef TCPGREET_CLI_QUERY_H
#define TCPGREET_CLI_QUERY_H

#include "tcpgreet/exporter/exporter.h"

/* As struct exporter_parser has them. */
int query_set(struct probe_config *probe, const char *name, const char *word, struct err *err);
int query_complete(struct probe_config *probe, struct err *err);

/* Sets what options of --probe imply, as --until tls implies --tls. */
void query_imply(struct probe_config *probe);

#endif
