#include "tcpgreet/format/serialize.h"

#include <inttypes.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "tcpgreet/format/text.h"

/* Most numbers are counts or yes and no: they need no search for the digits. */
static bool is_whole(double number)
{
    return fabs(number) < 1e15 && number == (double)(int64_t)number;
}

struct serialize_number serialize_number(double number)
{
    struct serialize_number text = {"0"};

    if (is_whole(number)) {
        (void)snprintf(text.text, sizeof(text.text), "%" PRId64, (int64_t)number);
        return text;
    }
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
    const char *at = text_printable(text, false, shown, sizeof(shown));
    size_t plain = strcspn(at, "\\\"");

    (void)fputc('"', out);
    (void)fwrite(at, 1, plain, out);
    for (at += plain; *at != '\0'; at += plain) { /* from one that is escaped to the next */
        plain = 1 + strcspn(at + 1, "\\\"");
        (void)fputc('\\', out);
        (void)fwrite(at, 1, plain, out);
    }
    (void)fputc('"', out);
}
