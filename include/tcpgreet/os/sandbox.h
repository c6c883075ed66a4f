/* What a process that serves for long gives up before it serves: its user, its capabilities, and the system
 * calls and files that it does not need. */
#ifndef TCPGREET_OS_SANDBOX_H
#define TCPGREET_OS_SANDBOX_H

#include <stdbool.h>
#include <stdio.h>
#include <uv.h>

#include "tcpgreet/base/err.h"

enum { SANDBOX_TEXT_BYTES = 768 };

enum sandbox_role {
    SANDBOX_SERVER,  /* accepts connections, and opens none */
    SANDBOX_EXPORTER /* also looks up names and connects */
};

/* Shape: files ends at NULL. */
struct sandbox_config {
    enum sandbox_role role;
    bool is_off;      /* --no-sandbox: user alone counts */
    const char *user; /* --user; NULL: this process stays who it is */
    const char *const
        *files; /* files and directories that are read again later; borrowed until the process ends */
};

/* The first step, before a loop is made, a key is read or a thread is started. Where this process is root and
 * is about to give that up, a helper process starts, which opens these files, and nothing else, for
 * file_read. Errors: usage: there is no such user, or it is root; system-permission: another user, and this
 * process is not root; system-...: no helper. Returns: 0, -1. Source: socketpair(2), fork(2). */
int sandbox_prepare(const struct sandbox_config *config, struct err *err);

/* The last step, after every socket is open and every key is read, and before a thread is started: threads
 * inherit it. What this system or this build lacks is left out, and listed as such in text. Shape: text is
 * for one log line. Errors: system-permission, system-other: the user cannot be changed. Returns: 0, -1.
 * Source: credentials(7), capabilities(7), seccomp(2), landlock(7); pledge(2), unveil(2). */
int sandbox_enter(char text[SANDBOX_TEXT_BYTES], struct err *err);

/* Logs a warning, from the loop, when the helper process ends. Borrows: loop, until it is closed, with this
 * as every handle. Shape: call it after sandbox_prepare; nothing where there is no helper. Returns: 0, or an
 * error of libuv. Thread: the loop's. */
int sandbox_watch(uv_loop_t *loop);

/* Returns: whether this process is root and sandbox_prepare was given no user. */
bool sandbox_is_root(void);

/* Writes the line of --version. */
void sandbox_version_put(FILE *out);

#endif
