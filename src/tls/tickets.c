#include "tickets.h"

#include <errno.h>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/kdf.h>
#include <openssl/rand.h>
#include <string.h>
#include <time.h>

#include "context.h"
#include "pem.h"

/*
 * Stateless resumption (RFC 5077, RFC 8446 section 4.6.1). Without a file the keys come from a ratchet: each
 * hour's secret is made of the last one's by a one-way function, and the old is forgotten. So workers that
 * began with the same secret have the same keys without talking, and who takes the secret of now cannot open
 * the tickets of long ago.
 */
enum {
    NAME_BYTES = 16,
    AES_BYTES = 32,
    MAC_BYTES = 32,
    FILE_KEY_BYTES = NAME_BYTES + AES_BYTES + MAC_BYTES, /* as nginx and HAProxy have them */
    SECRET_BYTES = 32,
    ROTATE_SECONDS = 60 * 60,
    KEYS = 25, /* an hour's key opens tickets for one more day */
};

struct ticket_key {
    unsigned char name[NAME_BYTES];
    unsigned char aes[AES_BYTES];
    unsigned char mac[MAC_BYTES];
};

/* Invariant: keys[0] seals; keys[0..count-1] open. */
struct tickets {
    struct ticket_key keys[KEYS];
    size_t count;
    bool from_file;
    unsigned char secret[SECRET_BYTES];
    time_t rotate_at; /* monotonic */
    EVP_CIPHER *cipher;
    EVP_MAC *mac;
};

static int tickets_index;

static void free_tickets(void *parent, void *pointer, CRYPTO_EX_DATA *data, int index, long number,
                         void *argument)
{
    struct tickets *tickets = pointer;
    (void)parent;
    (void)data;
    (void)index;
    (void)number;
    (void)argument;
    if (tickets == NULL)
        return;
    EVP_CIPHER_free(tickets->cipher);
    EVP_MAC_free(tickets->mac);
    OPENSSL_clear_free(tickets, sizeof *tickets);
}

static bool make_index(void)
{
    tickets_index = SSL_CTX_get_ex_new_index(0, NULL, NULL, NULL, free_tickets);
    return tickets_index >= 0;
}

static time_t monotonic_seconds(void)
{
    struct timespec now;
    return clock_gettime(CLOCK_MONOTONIC, &now) == 0 ? now.tv_sec : 0;
}

/* HKDF-Expand (RFC 5869 section 2.3) of the secret. */
static int expand(const struct tickets *tickets, const char *label, unsigned char *out, size_t length)
{
    EVP_KDF *kdf = EVP_KDF_fetch(NULL, "HKDF", NULL);
    EVP_KDF_CTX *context = kdf != NULL ? EVP_KDF_CTX_new(kdf) : NULL;
    int mode = EVP_KDF_HKDF_MODE_EXPAND_ONLY;
    OSSL_PARAM parameters[] = {
        OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, (char *)"SHA256", 0),
        OSSL_PARAM_construct_int(OSSL_KDF_PARAM_MODE, &mode),
        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_KEY, (void *)tickets->secret, SECRET_BYTES),
        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_INFO, (void *)label, strlen(label)),
        OSSL_PARAM_construct_end(),
    };
    int derived = context != NULL && EVP_KDF_derive(context, out, length, parameters) == 1;
    EVP_KDF_CTX_free(context);
    EVP_KDF_free(kdf);
    return derived ? 0 : -1;
}

/* The next hour's key in front, the oldest gone, the secret moved on. */
static int rotate(struct tickets *tickets)
{
    struct ticket_key key;
    unsigned char next[SECRET_BYTES];

    bool made = expand(tickets, "tcpgreet ticket key", (unsigned char *)&key, sizeof key) == 0 &&
                expand(tickets, "tcpgreet next secret", next, sizeof next) == 0;
    if (made) {
        size_t kept = tickets->count < KEYS ? tickets->count : KEYS - 1;
        memmove(&tickets->keys[1], &tickets->keys[0], kept * sizeof key);
        tickets->keys[0] = key;
        tickets->count = kept + 1;
        memcpy(tickets->secret, next, sizeof next);
        tickets->rotate_at += ROTATE_SECONDS;
    }
    OPENSSL_cleanse(&key, sizeof key);
    OPENSSL_cleanse(next, sizeof next);
    return made ? 0 : -1;
}

static void keep_fresh(struct tickets *tickets)
{
    time_t now = monotonic_seconds();
    while (!tickets->from_file && now >= tickets->rotate_at)
        if (rotate(tickets) < 0)
            return;
}

static int use_key(const struct tickets *tickets, const struct ticket_key *key, const unsigned char *iv,
                   EVP_CIPHER_CTX *cipher, EVP_MAC_CTX *mac, int sealing)
{
    OSSL_PARAM parameters[] = {
        OSSL_PARAM_construct_octet_string(OSSL_MAC_PARAM_KEY, (void *)key->mac, MAC_BYTES),
        OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, (char *)"SHA256", 0),
        OSSL_PARAM_construct_end(),
    };
    return EVP_CipherInit_ex(cipher, tickets->cipher, NULL, key->aes, iv, sealing) == 1 &&
           EVP_MAC_CTX_set_params(mac, parameters) == 1;
}

/* SSL_CTX_set_tlsext_ticket_key_evp_cb(3): 1 use it, 2 use it and give a new ticket, 0 unknown key, -1
 * failure. */
static int on_ticket(SSL *ssl, unsigned char name[NAME_BYTES], unsigned char *iv, EVP_CIPHER_CTX *cipher,
                     EVP_MAC_CTX *mac, int sealing)
{
    struct tickets *tickets = SSL_CTX_get_ex_data(SSL_get_SSL_CTX(ssl), tickets_index);
    if (tickets == NULL)
        return -1;

    keep_fresh(tickets);
    if (sealing) {
        if (RAND_bytes(iv, EVP_CIPHER_get_iv_length(tickets->cipher)) != 1)
            return -1;
        memcpy(name, tickets->keys[0].name, NAME_BYTES);
        return use_key(tickets, &tickets->keys[0], iv, cipher, mac, 1) ? 1 : -1;
    }
    for (size_t i = 0; i < tickets->count; i++) {
        if (CRYPTO_memcmp(tickets->keys[i].name, name, NAME_BYTES) != 0)
            continue;
        if (!use_key(tickets, &tickets->keys[i], iv, cipher, mac, 0))
            return -1;
        return i == 0 && SSL_version(ssl) != TLS1_3_VERSION ? 1 : 2;
    }
    return 0;
}

static int read_file(struct tickets *tickets, const char *path, bool insecure, struct err *err)
{
    struct file file;
    int result = -1;
    if (file_read("--ticket-keys", path, &file, err) < 0)
        return -1;
    if (!insecure && tls_check_mode("the ticket key file", path, &file, err) < 0) {
        /* err is set */
    } else if (file.length == 0 || file.length > sizeof tickets->keys || file.length % FILE_KEY_BYTES != 0) {
        err_set(err, ERR_SYSTEM_FILE, 0,
                "the ticket keys in %s are not 1 to %d keys of %d bytes (openssl rand -out FILE %d)", path,
                KEYS, FILE_KEY_BYTES, FILE_KEY_BYTES);
    } else {
        memcpy(tickets->keys, file.data, file.length);
        tickets->count = file.length / FILE_KEY_BYTES;
        tickets->from_file = true;
        result = 0;
    }
    file_free(&file);
    return result;
}

static int fill(struct tickets *tickets, const struct tls_server_config *config, struct err *err)
{
    const char *file = config != NULL ? config->ticket_keys : NULL;
    if (file != NULL)
        return read_file(tickets, file, config->policy.insecure, err);
    tickets->rotate_at = monotonic_seconds();
    if (RAND_priv_bytes(tickets->secret, SECRET_BYTES) != 1 || rotate(tickets) < 0)
        return tls_fail(err, ERR_INTERNAL, "making ticket keys");
    return 0;
}

int tls_tickets_install(SSL_CTX *context, const struct tls_server_config *config, struct err *err)
{
    static struct tls_once once = TLS_ONCE_INIT;
    struct tickets *tickets = OPENSSL_zalloc(sizeof *tickets);

    _Static_assert(sizeof(struct ticket_key) == FILE_KEY_BYTES, "a key is read from the file as it stands");
    if (tickets == NULL || !tls_once(&once, make_index))
        goto failed;
    tickets->cipher = EVP_CIPHER_fetch(NULL, "AES-256-CBC", NULL);
    tickets->mac = EVP_MAC_fetch(NULL, "HMAC", NULL);
    if (tickets->cipher == NULL || tickets->mac == NULL || fill(tickets, config, err) < 0 ||
        SSL_CTX_set_tlsext_ticket_key_evp_cb(context, on_ticket) != 1 ||
        SSL_CTX_set_ex_data(context, tickets_index, tickets) != 1)
        goto failed;
    return 0;
failed:
    free_tickets(NULL, tickets, NULL, 0, 0, NULL);
    return tls_fail(err, ERR_INTERNAL, "preparing session tickets");
}

void tls_tickets_copy(SSL_CTX *context, SSL_CTX *from)
{
    struct tickets *to = SSL_CTX_get_ex_data(context, tickets_index);
    const struct tickets *original = SSL_CTX_get_ex_data(from, tickets_index);
    if (to == NULL || original == NULL)
        return;
    memcpy(to->keys, original->keys, sizeof to->keys);
    memcpy(to->secret, original->secret, sizeof to->secret);
    to->count = original->count;
    to->from_file = original->from_file;
    to->rotate_at = original->rotate_at;
}

void tls_tickets_inherit(SSL_CTX *context, SSL_CTX *previous)
{
    const struct tickets *to = SSL_CTX_get_ex_data(context, tickets_index);
    const struct tickets *from = SSL_CTX_get_ex_data(previous, tickets_index);
    if (to != NULL && from != NULL && !to->from_file && !from->from_file)
        tls_tickets_copy(context, previous);
}
