/* The well-known service that an unknown name most likely means. */
#ifndef TCPGREET_NET_SERVICE_HINT_H
#define TCPGREET_NET_SERVICE_HINT_H

enum { SERVICE_HINT_BYTES = 64 };

/* Writes " (did you mean https, 443?)" for "htps", " (https is 443)" for "https", which a system without
 * /etc/services does not know, and nothing for a word that is near none. Returns: text. */
const char *service_hint(const char *word, char text[SERVICE_HINT_BYTES]);

#endif
