/* STARTTLS: the plain dialogue before TLS, of each protocol that has one, from the client's side. */
#ifndef TCPGREET_CORE_STARTTLS_H
#define TCPGREET_CORE_STARTTLS_H

#include <stdbool.h>
#include <stdint.h>

#include "tcpgreet/core/dialogue.h"
#include "tcpgreet/core/endpoint.h"

enum starttls_protocol {
    STARTTLS_NONE,
    STARTTLS_SMTP,
    STARTTLS_LMTP,
    STARTTLS_IMAP,
    STARTTLS_POP3,
    STARTTLS_FTP,
    STARTTLS_NNTP,
    STARTTLS_SIEVE,
    STARTTLS_IRC,
    STARTTLS_XMPP,
    STARTTLS_XMPP_SERVER,
    STARTTLS_LDAP,
    STARTTLS_POSTGRES,
    STARTTLS_MYSQL,
    STARTTLS_PROTOCOLS
};

enum {
    STARTTLS_LINE_MAX = 4 * 1024,   /* bytes of a line, or of an XML tag */
    STARTTLS_REPLY_MAX = 64 * 1024, /* bytes of the peer's between two commands */
    STARTTLS_QUOTE_BYTES = 160      /* of a reply are kept, to be quoted */
};

/* Borrowed as long as machines are made of it. Shape: not STARTTLS_NONE where one is made. */
struct starttls_config {
    enum starttls_protocol protocol;
    const char *servername; /* what XMPP addresses; NULL: the host */
};

/* How a reply ended it; STARTTLS_GOES_ON: not. */
enum starttls_end {
    STARTTLS_GOES_ON,
    STARTTLS_NOT_OFFERED,
    STARTTLS_REFUSED,
    STARTTLS_UNEXPECTED, /* no reply of this protocol */
    STARTTLS_TOO_LONG,
    STARTTLS_INJECTED, /* data behind the go-ahead */
    STARTTLS_CLOSED,
    STARTTLS_EXPIRED
};

/*
 * A dialogue that is over once the peer waits for the ClientHello. No heap, and no pointer to itself.
 * Errors of failure: tls-starttls; tls-silent-peer and tls-timeout where its time was over; always with what
 * the peer sent, of which received has the first bytes.
 */
struct starttls {
    struct dialogue dialogue;
    const char *host;
    const char *name;      /* what XMPP addresses */
    struct endpoint local; /* how SMTP and LMTP name this side; AF_UNSPEC: the loopback address */
    enum starttls_protocol protocol;
    enum starttls_end end;
    unsigned step;
    uint32_t reply_bytes;
    uint16_t lines;   /* of the reply, so far */
    uint16_t depth;   /* of XML elements below the stream */
    char code[3];     /* of a reply of several lines */
    bool is_sent;     /* this step's command */
    bool is_received; /* at least one byte */
    bool is_offered;
    bool is_listed;  /* IMAP: the capabilities are known */
    bool is_failing; /* XMPP: the next tag is the reason */
    bool is_quoted;  /* quote is not the reply as it came */
    uint8_t quote_count;
    char quote[STARTTLS_QUOTE_BYTES]; /* the beginning of the reply */
};

/* Borrows: config's name and host, as long as it is used. Shape: local NULL or AF_UNSPEC: not known. */
void starttls_init(struct starttls *starttls, const struct starttls_config *config, const char *host,
                   const struct endpoint *local);

/* Returns: the option's word, "smtp". */
const char *starttls_word(enum starttls_protocol protocol);

/* Returns: false where it is no protocol's word. */
bool starttls_parse(const char *word, enum starttls_protocol *protocol);

/* Shape: service as service_identify returns it; NULL is allowed. Returns: false where it has no STARTTLS. */
bool starttls_of_service(const char *service, enum starttls_protocol *protocol);

/* Returns: the port that uses TLS from the start; 0 where there is none. Source: IANA's registry of services.
 */
uint16_t starttls_tls_port(enum starttls_protocol protocol);

#endif
