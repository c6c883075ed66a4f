#include <string.h>

#include "tcpgreet/tls/tls.h"

static const char prefix[] = "sha256:";
static const char digits[] = "0123456789abcdef";

static int digit(char c)
{
    const char *at = strchr(digits, c >= 'A' && c <= 'F' ? c - 'A' + 'a' : c);
    return c != '\0' && at != NULL ? (int)(at - digits) : -1;
}

int tls_pin_parse(const char *text, struct tls_pin *pin)
{
    const char *hex = text + strlen(prefix);

    if (strncmp(text, prefix, strlen(prefix)) != 0 || strlen(hex) != (size_t)2 * TLS_PIN_BYTES)
        return -1;
    for (size_t i = 0; i < TLS_PIN_BYTES; i++) {
        int high = digit(hex[2 * i]), low = digit(hex[2 * i + 1]);
        if (high < 0 || low < 0)
            return -1;
        pin->sha256[i] = (unsigned char)(high << 4 | low);
    }
    return 0;
}

void tls_pin_format(const struct tls_pin *pin, char text[TLS_PIN_TEXT_BYTES])
{
    char *at = stpcpy(text, prefix);
    for (size_t i = 0; i < TLS_PIN_BYTES; i++) {
        *at++ = digits[pin->sha256[i] >> 4];
        *at++ = digits[pin->sha256[i] & 0xf];
    }
    *at = '\0';
}
