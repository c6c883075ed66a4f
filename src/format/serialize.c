#include "tcpgreet/format/serialize.h"

#include <math.h>
#include <stdlib.h>

#include "tcpgreet/format/text.h"

struct machine_number machine_number(double number)
{
    struct machine_number words = {"0"};
    for (int digits = 15; digits <= 17 && isfinite(number); digits++) {
        (void)snprintf(words.text, sizeof(words.text), "%.*g", digits, number);
        if (strtod(words.text, NULL) == number)
            break;
    }
    return words;
}

struct machine_number machine_seconds(int64_t ns)
{
    return machine_number((double)ns / 1e9);
}

void machine_quote(FILE *out, const char *text)
{
    char shown[WORDS_SHOWN_BYTES];

    (void)fputc('"', out);
    for (const char *at = words_shown(text, false, shown, sizeof(shown)); *at != '\0'; at++) {
        if (*at == '\\' || *at == '"')
            (void)fputc('\\', out);
        (void)fputc(*at, out);
    }
    (void)fputc('"', out);
}
