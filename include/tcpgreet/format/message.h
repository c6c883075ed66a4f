/* Messages for a person on standard error. No function here blocks where its reader has stopped: what is not
 * read is dropped and counted (log.h). */
#ifndef TCPGREET_FORMAT_MESSAGE_H
#define TCPGREET_FORMAT_MESSAGE_H

#include "tcpgreet/base/err.h"
#include "tcpgreet/base/log.h"

/* From now on messages are JSON lines, or text. */
void message_set_format(enum log_format format);

/* Returns: which of them they are now. Thread: any. */
enum log_format message_format(void);

/* Prints one line. The format has no newline; of what a peer sent, only escaped text may be in it. Where the
 * locale's character set is not UTF-8, bytes above 0x7e are escaped, for they could drive the terminal. On a
 * terminal it is waited for, so that it stands before what is printed next to standard output, for at most
 * 100 ms, and not at all while the terminal takes nothing. Shape: the event's level is at most LOG_NOTICE,
 * its facts are for JSON. Thread: any. */
__attribute__((format(printf, 2, 3))) void message_event(const struct log_event *event, const char *format,
                                                         ...);

/* The same, of a line without facts. */
#define message_print(...) message_event(&(struct log_event){.level = LOG_NOTICE}, __VA_ARGS__)

/* Prints a failure with its word. */
void message_failure(const struct err *err);

/* Shows text at the beginning of the terminal's line, over what stands there; message_clear_progress removes
 * it. Only where standard error is a terminal. Shape: text is shorter than 80 columns and printable. */
void message_show_progress(const char *text);
void message_clear_progress(void);

/* Waits up to 500 ms for all messages to be written. Call before the process ends or becomes another program.
 */
void message_close(void);

#endif
