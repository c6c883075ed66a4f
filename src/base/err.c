#include "tcpgreet/base/err.h"

#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tcpgreet/base/escape.h"

static const struct {
    const char *word;
    int exit_code;
} reasons[] = {
#define ERR_ROW(name, word, code) [name] = {word, code},
    ERR_REASONS(ERR_ROW)
#undef ERR_ROW
};

static bool in_table(enum err_reason reason)
{
    return (unsigned)reason < ERR_REASON_COUNT;
}

__attribute__((format(printf, 2, 0))) static void format_text(char text[ERR_TEXT_BYTES], const char *format,
                                                              va_list arguments)
{
    int length = vsnprintf(text, ERR_TEXT_BYTES, format, arguments);
    if (length < 0)
        text[0] = '\0';
    else if (length >= ERR_TEXT_BYTES)
        text[escape_trim((struct bytes){text, ERR_TEXT_BYTES - 1})] = '\0';
}

static void record(struct err *err, enum err_reason reason, const struct err_facts *facts)
{
    size_t count = facts->received.length < ERR_RECEIVED_MAX ? facts->received.length : ERR_RECEIVED_MAX;

    err->reason = reason != ERR_OK && in_table(reason) ? reason : ERR_INTERNAL;
    err->detail = facts->detail;
    err->native = facts->native;
    err->alert = facts->alert;
    err->depth = facts->depth;
    err->awaited = facts->awaited;
    err->name[0] = '\0';
    if (facts->name != NULL)
        (void)snprintf(err->name, sizeof(err->name), "%s", facts->name);
    err->received_count = count;
    if (count > 0)
        memcpy(err->received, facts->received.data, count);
}

__attribute__((format(printf, 2, 0))) static int write_text(struct err *err, const char *format,
                                                            va_list arguments)
{
    format_text(err->text, format, arguments);
    if (err->text[0] == '\0')
        (void)snprintf(err->text, sizeof(err->text), "%s", err_word(err->reason));
    return -1;
}

int err_set_facts(struct err *err, enum err_reason reason, const struct err_facts *facts, const char *format,
                  ...)
{
    if (err == NULL || err->reason != ERR_OK)
        return -1;
    record(err, reason, facts);
    va_list arguments;
    va_start(arguments, format);
    write_text(err, format, arguments);
    va_end(arguments);
    return -1;
}

int err_set(struct err *err, enum err_reason reason, int native, const char *format, ...)
{
    if (err == NULL || err->reason != ERR_OK)
        return -1;
    record(err, reason, &(struct err_facts){.native = native});
    va_list arguments;
    va_start(arguments, format);
    write_text(err, format, arguments);
    va_end(arguments);
    return -1;
}

int err_set_from(struct err *err, const struct err *why, const char *format, ...)
{
    if (err == NULL || err->reason != ERR_OK)
        return -1;
    record(err, why->reason,
           &(struct err_facts){.detail = why->detail,
                               .native = why->native,
                               .alert = why->alert,
                               .depth = why->depth,
                               .awaited = why->awaited,
                               .name = why->name,
                               .received = err_received(why)});
    va_list arguments;
    va_start(arguments, format);
    write_text(err, format, arguments);
    va_end(arguments);
    return -1;
}

int err_set_no_thread(struct err *err, int native)
{
    return err_set(err, err_reason_of_system(native), native,
                   "no thread can be started: %s (raise ulimit -u or -v, or pids.max of the control group)",
                   strerror(native));
}

struct bytes err_received(const struct err *err)
{
    return (struct bytes){(const char *)err->received, err->received_count};
}

/* An empty err has no text, so there is nothing to put context in front of. */
int err_context(struct err *err, const char *format, ...)
{
    if (err == NULL || err->reason == ERR_OK)
        return -1;
    char text[ERR_TEXT_BYTES];
    va_list arguments;
    va_start(arguments, format);
    format_text(text, format, arguments);
    va_end(arguments);
    struct sink sink = {text, strlen(text), sizeof(text) - 1};
    struct bytes rest = {err->text, strlen(err->text)};
    (void)sink_put(&sink, BYTES_LITERAL(": "));
    if (rest.length > sink_room(&sink))
        rest.length = escape_trim((struct bytes){rest.data, sink_room(&sink)});
    (void)sink_put(&sink, rest);
    text[sink.length] = '\0';
    memcpy(err->text, text, sink.length + 1);
    return -1;
}

void err_clear(struct err *err)
{
    if (err == NULL)
        return;
    err->reason =
        ERR_OK; /* the rest is written where a failure is recorded: this stands on every read and write */
    err->detail = ERR_DETAIL_NONE;
    err->native = 0;
    err->received_count = 0;
    err->text[0] = '\0';
}

static struct err exhausted = {.reason = ERR_INTERNAL, .text = "memory is exhausted"};

struct err *err_copy(const struct err *err)
{
    struct err *copy = malloc(sizeof *copy);
    if (copy == NULL)
        return &exhausted;
    *copy = *err;
    return copy;
}

void err_free(struct err *copy)
{
    if (copy != &exhausted)
        free(copy);
}

const char *err_word(enum err_reason reason)
{
    return reasons[in_table(reason) ? reason : ERR_INTERNAL].word;
}

int err_exit_code(enum err_reason reason)
{
    return reasons[in_table(reason) ? reason : ERR_INTERNAL].exit_code;
}

enum err_reason err_reason_of_connect(int native)
{
    switch (native) {
    case ECONNREFUSED:
        return ERR_CONNECT_REFUSED;
    case ENETUNREACH:
    case EHOSTUNREACH:
    case ENETDOWN:
    case EHOSTDOWN:
    case EADDRNOTAVAIL:
    case EACCES: /* a firewall rule of this host */
    case EPERM:
        return ERR_CONNECT_UNREACHABLE;
    case ETIMEDOUT:
        return ERR_CONNECT_TIMEOUT;
    case ECONNRESET:
        return ERR_CONNECT_RESET;
    case EMFILE:
    case ENFILE:
        return ERR_SYSTEM_DESCRIPTORS;
    default:
        return ERR_SYSTEM_OTHER;
    }
}

bool err_is_of_reset(int native)
{
    return native == ECONNRESET || native == EPIPE || native == ENOTCONN; /* the last: shutdown, after it */
}

enum err_reason err_reason_of_system(int native)
{
    switch (native) {
    case EADDRINUSE:
        return ERR_SYSTEM_ADDRESS_IN_USE;
    case EADDRNOTAVAIL:
        return ERR_SYSTEM_ADDRESS_NOT_AVAILABLE;
    case EACCES:
    case EPERM:
        return ERR_SYSTEM_PERMISSION;
    case EMFILE:
    case ENFILE:
        return ERR_SYSTEM_DESCRIPTORS;
    case ENOENT:
    case EISDIR:
    case ENOTDIR:
    case EIO:
    case ELOOP:
    case ENAMETOOLONG:
    case EROFS:
        return ERR_SYSTEM_FILE;
    case ENOSPC:
    case EPIPE:
        return ERR_SYSTEM_OUTPUT;
    case ENOMEM:
        return ERR_INTERNAL;
    default:
        return ERR_SYSTEM_OTHER;
    }
}
