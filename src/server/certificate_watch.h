/* --watch: notices that files of the TLS options have changed. */
#ifndef TCPGREET_SERVER_CERTIFICATE_WATCH_H
#define TCPGREET_SERVER_CERTIFICATE_WATCH_H

#include <stdbool.h>
#include <uv.h>

#include "tcpgreet/base/err.h"
#include "tcpgreet/tls/tls.h"

/* Changes follow each other: a renewal writes several files. In units of the time to settle: */
enum {
    CERTIFICATE_WATCH_LATEST = 10, /* after the first one it counts in any case */
    CERTIFICATE_WATCH_LOOK = 60    /* between two looks, whatever the kernel reports: a network file system
                                      reports nothing */
};

struct certificate_watch_use {
    unsigned settle_ms; /* without another change, before it counts */
    void (*changed)(void *context);
    void *context;
};

struct certificate_watch;

/* Remembers the files as they are now; call it before they are read, so that no change is missed. Borrows:
 * config. Returns: NULL with err. Errors: internal. */
struct certificate_watch *certificate_watch_new(const struct tls_server_config *config, struct err *err);

/* Calls back from the loop each time the files have changed and settled, also where one is gone. Directories
 * are watched, and those that symbolic links lead through, so that a link that is replaced is noticed. Files
 * are looked at in a thread of its own; where none can be started, that is logged and tried again. Call it
 * before rights are given up: what this process may not look at afterwards counts as changed whenever its
 * directory has. Where a link then leads to a directory that it may not watch, that is logged: changes there
 * are not noticed. Borrows: loop. Thread: the loop's, as of what follows. */
void certificate_watch_start(struct certificate_watch *watch, uv_loop_t *loop,
                             const struct certificate_watch_use *use);

/* Ends it; the loop must still run, to close its handles, and frees it then, when a look that is under way is
 * over. Shape: NULL is allowed. Returns: false where a look is under way that may never end, at a network
 * file system for example: then the loop must be left as it is. */
bool certificate_watch_close(struct certificate_watch *watch);

#endif
