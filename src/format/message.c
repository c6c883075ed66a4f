#include "tcpgreet/format/message.h"

#include <langinfo.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "tcpgreet/base/escape.h"
#include "tcpgreet/format/text.h"

void message_print(const char *format, ...)
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
    bool is_ascii = strcmp(nl_langinfo(CODESET), "UTF-8") != 0;
    (void)fprintf(stderr, "%s\n", words_shown(text, is_ascii, shown, sizeof shown));
}
