/* The wire format: what the server sends, and where a name ends. */
#ifndef TCPGREET_CORE_GREETING_H
#define TCPGREET_CORE_GREETING_H

#include <stdbool.h>
#include <stddef.h>

#include "tcpgreet/base/buf.h"

#define GREETING_WELCOME "Server: Welcome!\n"
#define GREETING_QUESTION "Server: What's your name?"
#define GREETING_HELLO "Server: Hello "
#define GREETING_HELLO_END "!\n"
#define GREETING_GOODBYE "Server: Good bye!\n"
#define GREETING_TOO_LONG "Server: Sorry, a name has at most 1024 bytes.\n"
#define GREETING_TOO_MANY "Server: Sorry, too many guests.\n"
#define GREETING_EXIT "exit"

enum {
    GREETING_NAME_MAX = 1024, /* docs/protocol.md */
    /* The longest answer to one name: hello, name, end, question. */
    GREETING_ANSWER_MAX = sizeof(GREETING_HELLO GREETING_HELLO_END GREETING_QUESTION) + GREETING_NAME_MAX
};

/* Returns: whether this name ends the dialogue. */
bool greeting_is_exit(struct bytes name);

enum greeting_cut {
    GREETING_PARTIAL,       /* no end in sight, and not too long yet */
    GREETING_NAME,          /* a name; *taken includes its LF */
    GREETING_TOO_LONG_NAME, /* an ended name of more than GREETING_NAME_MAX bytes; *taken includes its LF */
    GREETING_OVERFLOW       /* no end in sight and already too long, whatever comes */
};

/* Finds the first name in line-framed bytes, knowing that the first `scanned` of them hold no LF.
 * Shape: scanned <= bytes.length. name and taken are set with GREETING_NAME only / GREETING_TOO_LONG_NAME
 * (taken). Source: docs/protocol.md, "Where a name ends". */
enum greeting_cut greeting_cut(struct bytes bytes, size_t scanned, struct bytes *name, size_t *taken);

/* The same verdict where the bytes are all there will be (pause, end of stream): name or too long. */
enum greeting_cut greeting_cut_all(struct bytes bytes, struct bytes *name);

/* Appends the server's text. Returns: false, with nothing appended, where they do not fit. */
bool greeting_put_welcome(struct sink *out);
bool greeting_put_answer(struct sink *out,
                         struct bytes name); /* good bye, question or hello, as the name asks for */
bool greeting_put_too_long(struct sink *out);
bool greeting_put_goodbye(struct sink *out);
bool greeting_put_too_many(struct sink *out);

/* Returns: whether an unfinished line is the start of an HTTP request: a method, and a target that begins
 * like a path or a URL. A pause does not end such a name: its rest may be on the way. */
bool greeting_is_http_begun(struct bytes line);

enum greeting_foreign { GREETING_NOT_FOREIGN, GREETING_TLS_CLIENT, GREETING_HTTP_CLIENT };

/* Looks at the very first bytes of a connection: does the peer use another protocol?
 * A TLS handshake record (RFC 8446 section 5.1) is known by three bytes, an HTTP request by its whole first
 * line, or by the start of one that is longer than a name may be, so the verdict does not depend on how the
 * bytes were cut. */
enum greeting_foreign greeting_foreign(struct bytes bytes);

#endif
