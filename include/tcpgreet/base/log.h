/* The log: lines to standard error, written without ever blocking the caller. */
#ifndef TCPGREET_BASE_LOG_H
#define TCPGREET_BASE_LOG_H

#include <stdbool.h>
#include <stdint.h>

#include "tcpgreet/base/buf.h"

/* LOG_NOTICE: information that is written under --quiet too: what was asked for by an option or a signal, and
 * the end of what a warning has reported. As JSON its level is "info". */
enum log_level { LOG_ERROR, LOG_WARNING, LOG_NOTICE, LOG_INFO, LOG_DEBUG };
enum log_format { LOG_TEXT, LOG_JSON };

struct log_config {
    int fd;
    enum log_level level; /* lines above it are not written */
    enum log_format format;
    bool is_held; /* the thread that writes starts with log_release: until then lines are only queued */
};

/* Starts the thread that writes, unless it is held. Lines before log_open and after log_close are lost
 * silently. The descriptor's flags are left as they are: it may be shared with a shell. Returns: 0, or -1
 * with errno; EBUSY while a write that an earlier log_close gave up is still under way. */
int log_open(const struct log_config *config);

/* Starts the thread that log_open has held: a process that gives up privileges does so before it has threads.
 * Shape: nothing where none is held. Returns: 0, or -1 with errno. */
int log_release(void);

/* Queues one line. The text must hold no unescaped bytes of a peer (escape.h). In text form, bytes above 0x7e
 * are escaped where the locale's character set, at log_open, is not UTF-8.
 * If no process reads and the queue (256 KiB) is full, the line is dropped and counted; a line with the count
 * follows when there is space. Thread: any. Never blocks, never allocates. */
__attribute__((format(printf, 2, 3))) void log_write(enum log_level level, const char *format, ...);

/* Queues text as it is, without an end of line: progress on a terminal. Left out, and not counted, while
 * anything is queued. Thread: any. Never blocks. */
void log_write_progress(struct bytes text);

/* Waits up to wait_ms for what is queued to be written. Returns: whether nothing is queued any more.
 * Thread: any. */
bool log_drain(int wait_ms);

/* Returns: whether a line of this level would be written. */
int log_enabled(enum log_level level);

/* Returns: lines dropped since log_open. Thread: any. */
uint64_t log_dropped(void);

/* Writes what is queued, for at most wait_ms if no process reads, then stops. A log that is held is released.
 */
void log_close(int wait_ms);

#endif
