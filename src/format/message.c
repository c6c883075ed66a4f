#include "tcpgreet/format/message.h"

#include <errno.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "tcpgreet/base/escape.h"
#include "tcpgreet/base/log.h"
#include "tcpgreet/format/text.h"

enum {
    SETTLE_MS = 100, /* a terminal that is stopped (Ctrl-S) holds up the loop once, and no longer */
    CLOSE_MS = 500   /* a reader needs less */
};

static atomic_int chosen_format = LOG_TEXT; /* enum log_format */

void message_set_format(enum log_format format)
{
    atomic_store(&chosen_format, (int)format);
}

enum log_format message_format(void)
{
    return (enum log_format)atomic_load(&chosen_format);
}

/* The log's thread writes, a server's or one that the first message starts. Returns: whether it runs, or an
 * earlier one is blocked, which drops the message. */
static bool has_writer(void)
{
    struct log_config config = {.fd = STDERR_FILENO, .level = LOG_NOTICE, .format = message_format()};

    if (log_enabled(LOG_NOTICE))
        return true;
    if (log_stamp_of(STDERR_FILENO) == LOG_STAMP_PRIORITY)
        config.stamp = LOG_STAMP_PRIORITY;
    return log_open(&config) == 0 || errno == EBUSY;
}

static void settle(void)
{
    static atomic_bool is_stopped;

    if (isatty(STDERR_FILENO) == 1)
        atomic_store(&is_stopped, !log_drain(atomic_load(&is_stopped) ? 0 : SETTLE_MS));
}

void message_event(const struct log_event *event, const char *format, ...)
{
    enum { MESSAGE_BYTES = 2048, ESCAPED_MAX = 4 };
    char text[MESSAGE_BYTES];
    char shown[ESCAPED_MAX * MESSAGE_BYTES];
    va_list arguments;

    va_start(arguments, format);
    int length = vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    if (length < 0)
        return;
    if ((size_t)length >= sizeof text)
        text[escape_trim((struct bytes){text, sizeof text - 1})] = '\0';
    bool is_ascii = !escape_is_utf8_environment();
    text_printable(text, is_ascii, shown, sizeof shown);
    if (has_writer())
        log_event(event, "%s", shown);
    else
        (void)fprintf(stderr, "%s\n", shown); /* without a thread, for want of memory */
    settle();
}

void message_failure(const struct err *err)
{
    message_event(&(struct log_event){LOG_ERROR, "failed",
                                      LOG_FACTS(log_text("reason", err_word(err->reason)),
                                                log_text("error", err->text))},
                  "tcpgreet: %s (%s)", err->text, err_word(err->reason));
}

void message_show_progress(const char *text)
{
    enum { COLUMNS = 79 };
    char shown[TEXT_PRINTABLE_BYTES];
    char line[2 * COLUMNS];

    if (isatty(STDERR_FILENO) != 1 || !has_writer())
        return;
    int length = snprintf(line, sizeof line, "\r%-*.*s\r", COLUMNS, COLUMNS,
                          text_printable(text, true, shown, sizeof shown));
    log_write_progress((struct bytes){line, length > 0 ? (size_t)length : 0});
}

void message_clear_progress(void)
{
    settle(); /* a line that waits would keep this one out */
    message_show_progress("");
    settle(); /* what is printed next comes behind it */
}

void message_close(void)
{
    log_close(CLOSE_MS);
}
