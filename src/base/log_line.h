/* One line of the log, composed: text or JSON. */
#ifndef TCPGREET_BASE_LOG_LINE_H
#define TCPGREET_BASE_LOG_LINE_H

#include <stdbool.h>

#include "tcpgreet/base/buf.h"
#include "tcpgreet/base/log.h"

enum {
    LOG_LINE_MESSAGE_BYTES =
        6 * 1024, /* room for the longest name, escaped byte for byte, and the text around */
    LOG_LINE_SAFE_BYTES = 4 * LOG_LINE_MESSAGE_BYTES + 1, /* each byte escaped */
    LOG_LINE_FIELDS_BYTES = 12 * 1024,                    /* a field that does not fit any more is left out */
    LOG_LINE_BYTES = 2 * LOG_LINE_SAFE_BYTES + LOG_LINE_FIELDS_BYTES
};

struct log_style {
    enum log_format format;
    enum log_stamp stamp;
    bool is_ascii; /* text form: bytes above 0x7e are escaped */
};

/* Composes one line, its end included; it is one line, and UTF-8, whatever it is given. Shape: line is empty
 * and has room for LOG_LINE_BYTES; message is shorter than LOG_LINE_MESSAGE_BYTES. */
void log_line_put(struct sink *line, const struct log_style *style, const struct log_event *event,
                  const char *message);

#endif
