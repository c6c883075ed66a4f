/* Input: the lowest bits of the file's mode, then what is in the file of ticket keys. */
#include "fuzz/fuzz.h"

#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tls/tickets.h"

enum { KEY_BYTES = 80, KEYS_MAX = 25, INPUT_MAX = 4096, PATH_BYTES = 32 };

static void check_refused(const struct err *err, const char *path, bool is_open_to_others)
{
    CHECK(err->reason == (is_open_to_others ? ERR_SYSTEM_PERMISSION : ERR_SYSTEM_FILE));
    CHECK(strstr(err->text, path) != NULL);
    fuzz_check_printable(err->text);
}

static SSL_CTX *new_context(const struct tls_server_config *config)
{
    struct err err = {0};
    SSL_CTX *context = SSL_CTX_new(TLS_server_method());
    CHECK(context != NULL && tls_tickets_install(context, config, &err) == 0);
    return context;
}

/* Others take over the keys of the file, and keep those of a file of their own. */
static void check_copies(SSL_CTX *context, const struct tls_server_config *config)
{
    SSL_CTX *others[] = {new_context(NULL), new_context(config)};
    for (size_t i = 0; i < 2; i++) {
        tls_tickets_inherit(others[i], context);
        tls_tickets_copy(others[i], context);
        SSL_CTX_free(others[i]);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char path[PATH_BYTES];
    struct err err = {0};

    if (size == 0 || size > INPUT_MAX)
        return 0;
    mode_t others = data[0] & (S_IRWXO | S_IWGRP);
    size_t length = size - 1;
    int fd = fuzz_file(data + 1, length);
    CHECK(fchmod(fd, S_IRUSR | S_IWUSR | others) == 0);
    (void)snprintf(path, sizeof path, "/dev/fd/%d", fd);
    SSL_CTX *context = SSL_CTX_new(TLS_server_method());
    CHECK(context != NULL);
    const struct tls_server_config config = {.ticket_keys = path};
    bool is_valid =
        others == 0 && length > 0 && length <= (size_t)KEYS_MAX * KEY_BYTES && length % KEY_BYTES == 0;
    CHECK((tls_tickets_install(context, &config, &err) == 0) == is_valid);
    if (is_valid)
        check_copies(context, &config);
    else
        check_refused(&err, path, others != 0);
    SSL_CTX_free(context);
    close(fd);
    return 0;
}
