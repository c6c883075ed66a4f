/* What the client shows on standard output: raw for a pipe or a file, safe for a terminal. */
#ifndef TCPGREET_CLIENT_DISPLAY_H
#define TCPGREET_CLIENT_DISPLAY_H

#include <stdbool.h>
#include <stddef.h>

#include "tcpgreet/base/buf.h"
#include "tcpgreet/base/err.h"
#include "tcpgreet/os/output.h"

enum { DISPLAY_CUT_MAX = 3 };

/* display_init sets all but keeps_layout. */
struct display {
    struct output *output; /* borrowed */
    bool is_terminal;
    bool is_ascii; /* the terminal's character set is not UTF-8 */
    bool at_line_start;
    bool keeps_layout;         /* of the peer's text: its tabs and CR LF */
    char cut[DISPLAY_CUT_MAX]; /* a character of the peer whose rest is still to come */
    size_t cut_length;
};

/* Looks at standard output and the locale. */
void display_init(struct display *display, struct output *output);

/* Queues the peer's bytes; on a terminal, those that could drive it are escaped. Errors: as output_write.
 * Returns: 0, -1. */
int display_put(struct display *display, struct bytes bytes, struct err *err);

/* On a terminal, ends a line that is begun, and waits shortly until it is shown: what is printed to standard
 * error next begins on a line of its own. */
void display_end_line(struct display *display);

/* The same where no more of the peer's bytes follow: a character that is not complete is shown escaped. */
void display_end(struct display *display);

/* On a terminal, waits shortly until what is queued is shown, so that standard error keeps its order. */
void display_settle(struct display *display);

#endif
