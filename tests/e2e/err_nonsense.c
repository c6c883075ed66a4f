/* The error module with every message replaced by the same nonsense, for a program that shows whether
 * anything decides by a message: linked before the library, it takes the place of base/err.c. */
#include <stdarg.h>
#include <stdio.h>

__attribute__((format(printf, 3, 0))) static int write_nonsense(char *text, size_t room, const char *format,
                                                                va_list arguments)
{
    (void)format;
    (void)arguments;
    return snprintf(text, room, "qzx jvk");
}

#define vsnprintf write_nonsense
#include "base/err.c" /* NOLINT(bugprone-suspicious-include) */
