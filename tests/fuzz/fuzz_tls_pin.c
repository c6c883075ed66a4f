/* Input: the value of --pin. What is accepted is 64 hexadecimal digits behind sha256:, and is written in
 * lower case. */
#include "fuzz/fuzz.h"

#include <ctype.h>

#include "tcpgreet/tls/tls.h"

static bool is_pin(const char *text)
{
    static const char prefix[] = "sha256:";
    const char *digits = text + sizeof prefix - 1;
    return strncmp(text, prefix, sizeof prefix - 1) == 0 && strlen(digits) == (size_t)2 * TLS_PIN_BYTES &&
           strspn(digits, "0123456789abcdefABCDEF") == strlen(digits);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct tls_pin pin = {{0}}, again = {{1}};
    char written[TLS_PIN_TEXT_BYTES];
    char *text = fuzz_text(data, size);

    CHECK((tls_pin_parse(text, &pin) == 0) == is_pin(text));
    tls_pin_format(&pin, written);
    CHECK(is_pin(written) && tls_pin_parse(written, &again) == 0);
    CHECK(memcmp(&again, &pin, sizeof pin) == 0);
    for (size_t i = 0; is_pin(text) && i < sizeof written; i++)
        CHECK(written[i] == tolower((unsigned char)text[i]));
    free(text);
    return 0;
}
