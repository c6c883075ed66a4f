/* What a peer's bytes mean in a STARTTLS dialogue, protocol by protocol. */
#ifndef TCPGREET_CORE_STARTTLS_REPLY_H
#define TCPGREET_CORE_STARTTLS_REPLY_H

#include "tcpgreet/core/starttls.h"

enum starttls_verdict {
    STARTTLS_MORE,   /* incomplete: nothing is consumed */
    STARTTLS_AGAIN,  /* a part of the reply, or nothing to do with it */
    STARTTLS_ANSWER, /* IRC: a PING, to be answered with the rest of the same line */
    STARTTLS_NEXT,   /* as wanted: the next step */
    STARTTLS_ENDS    /* starttls->end is set */
};

/* Reads one line, message or tag from the front of in.
 * Writes: *length, how long it is, but with STARTTLS_MORE; the members of starttls that the protocol needs;
 * quote, where it is to be another than the bytes. Shape: in.length > 0. */
typedef enum starttls_verdict starttls_reader(struct starttls *starttls, struct bytes in, size_t *length);

starttls_reader starttls_read_smtp_greeting, starttls_read_smtp_hello, starttls_read_smtp_go;
starttls_reader starttls_read_ftp_greeting, starttls_read_ftp_go;
starttls_reader starttls_read_nntp_greeting, starttls_read_nntp_go;
starttls_reader starttls_read_pop3;
starttls_reader starttls_read_imap_greeting, starttls_read_imap_capability, starttls_read_imap_go;
starttls_reader starttls_read_sieve_greeting, starttls_read_sieve_go;
starttls_reader starttls_read_irc;
starttls_reader starttls_read_xmpp_features, starttls_read_xmpp_go;
starttls_reader starttls_read_ldap, starttls_read_postgres, starttls_read_mysql;

/* Ends the dialogue. Returns: STARTTLS_ENDS. */
enum starttls_verdict starttls_end_with(struct starttls *starttls, enum starttls_end end);

/* Appends to what is kept of the reply, as far as there is room. */
void starttls_keep(struct starttls *starttls, struct bytes bytes);

/* Keeps bytes instead of what is kept. */
void starttls_keep_only(struct starttls *starttls, struct bytes bytes);

#endif
