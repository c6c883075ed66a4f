#include "tcpgreet/format/serialize.h"

#include <math.h>
#include <stdlib.h>

#include "tcpgreet/format/text.h"

struct serialize_number serialize_number(double number)
{
    struct serialize_number text = {"0"};
    for (int digits = 15; digits <= 17 && isfinite(number); digits++) {
        (void)snprintf(text.text, sizeof(text.text), "%.*g", digits, number);
        if (strtod(text.text, NULL) == number)
            break;
    }
    return text;
}

struct serialize_number serialize_seconds(int64_t ns)
{
    return serialize_number((double)ns / 1e9);
}

void serialize_quoted(FILE *out, const char *text)
{
    char shown[TEXT_PRINTABLE_BYTES];

    (void)fputc('"', out);
    for (const char *at = text_printable(text, false, shown, sizeof(shown)); *at != '\0'; at++) {
        if (*at == '\\' || *at == '"')
            (void)fputc('\\', out);
        (void)fputc(*at, out);
    }
    (void)fputc('"', out);
}
