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

/* What stands in front of a line in text form. JSON always has its time and its level. */
enum log_stamp {
    LOG_STAMP_NONE,
    LOG_STAMP_TIME,    /* RFC 3339, in UTC; then the level, unless it is information */
    LOG_STAMP_PRIORITY /* "<6>": the level, for journald, which adds the time. Source: sd-daemon(3) */
};

struct log_config {
    int fd;
    enum log_level level; /* lines above it are not written */
    enum log_format format;
    enum log_stamp stamp;
    bool is_held; /* the thread that writes starts with log_release: until then lines are only queued */
};

/* One fact of a line. Shape: text is printable (escape.h). */
struct log_field {
    const char *name;
    enum { LOG_FIELD_TEXT, LOG_FIELD_COUNT, LOG_FIELD_NUMBER, LOG_FIELD_FLAG } kind;
    bool is_shown; /* as name=value in text form, too: the message does not have it */
    union {
        const char *text; /* NULL or "": the fact is not known, and left out */
        uint64_t count;   /* LOG_FIELD_FLAG: 0, 1 */
        double number;
    };
};

/* What a line is about; docs/log-v1.schema.json lists names and facts. */
struct log_event {
    enum log_level level;
    const char *name;               /* a word; NULL: "message" */
    const struct log_field *fields; /* LOG_FACTS, NULL: none */
};

/* The facts of an event, which live as long as the block. */
#define LOG_FACTS(...)                                                                                       \
    (const struct log_field[])                                                                               \
    {                                                                                                        \
        __VA_ARGS__,                                                                                         \
        {                                                                                                    \
            0                                                                                                \
        }                                                                                                    \
    }

static inline struct log_field log_text(const char *name, const char *text)
{
    return (struct log_field){.name = name, .kind = LOG_FIELD_TEXT, .text = text};
}

static inline struct log_field log_count(const char *name, uint64_t count)
{
    return (struct log_field){.name = name, .kind = LOG_FIELD_COUNT, .count = count};
}

static inline struct log_field log_number(const char *name, double number)
{
    return (struct log_field){.name = name, .kind = LOG_FIELD_NUMBER, .number = number};
}

static inline struct log_field log_flag(const char *name, bool flag)
{
    return (struct log_field){.name = name, .kind = LOG_FIELD_FLAG, .count = flag};
}

/* Returns: the field, to be shown in text form, too. */
static inline struct log_field log_shown(struct log_field field)
{
    field.is_shown = true;
    return field;
}

/* Returns: what stands in front of the lines of a service's log: where fd is the stream that journald reads,
 * LOG_STAMP_PRIORITY, else LOG_STAMP_TIME. Source: systemd.exec(5), JOURNAL_STREAM. */
enum log_stamp log_stamp_of(int fd);

/* Returns: how a service logs to standard error; quiet: requested output and warnings only. */
struct log_config log_config_of_service(enum log_format format, bool verbose, bool quiet);

/* Starts the thread that writes, unless it is held. Lines before log_open and after log_close are lost
 * silently. The descriptor's flags are left as they are: it may be shared with a shell. Returns: 0, or -1
 * with errno; EBUSY while a write that an earlier log_close gave up is still under way. */
int log_open(const struct log_config *config);

/* Starts the thread that log_open has held: a process that gives up privileges does so before it has threads.
 * Shape: nothing where none is held. Returns: 0, or -1 with errno. */
int log_release(void);

/* Queues one line. Texts must hold no unescaped bytes of a peer (escape.h); what is not UTF-8 is escaped, and
 * in text form every byte above 0x7e where the locale's character set, at log_open, is not UTF-8.
 * If no process reads, or the disk is full, each line tries again; if the queue (256 KiB) is full, too, the
 * line is dropped and counted; a line with the count follows when there is space. Thread: any. Never blocks,
 * never allocates. */
__attribute__((format(printf, 2, 3))) void log_event(const struct log_event *event, const char *format, ...);

/* The same, of a line without facts. */
#define log_write(level_, ...) log_event(&(struct log_event){.level = (level_)}, __VA_ARGS__)

/* Queues text as it is, without an end of line: progress on a terminal. Left out, and not counted, while
 * anything is queued. Thread: any. Never blocks. */
void log_write_progress(struct bytes text);

/* Waits up to wait_ms for what is queued to be written, but not after a write has failed. Returns: whether
 * nothing is queued any more.
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
