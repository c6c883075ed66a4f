#include "identity.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "context.h"
#include "pem.h"
#include "tcpgreet/base/secret.h"

enum { MADE_DAYS = 30, STACK_BYTES = 32 * 1024 /* more than reading a key takes */ };

void tls_identity_fini(struct tls_identity *identity)
{
    X509_free(identity->certificate);
    EVP_PKEY_free(identity->key);
    sk_X509_pop_free(identity->chain, X509_free);
    *identity = (struct tls_identity){0};
}

struct passphrase {
    const struct tls_policy *policy;
    const char *key;
    struct err *err;
};

static int from_file(const struct tls_policy *policy, char *buffer, int room, struct err *err)
{
    const char *path = policy->passphrase_file;
    struct file file;
    if (file_read("--key-passphrase-file", path, &file, err) < 0)
        return -1;
    if (!policy->insecure && tls_check_mode("--key-passphrase-file", path, &file, err) < 0) {
        file_free(&file);
        return -1;
    }
    size_t length = 0;
    while (length < file.length && file.data[length] != '\n' && file.data[length] != '\r')
        length++;
    if (length == 0 || length > (size_t)room) {
        file_free(&file);
        return err_set(err, ERR_SYSTEM_FILE, 0, "the first line of --key-passphrase-file %s is %s", path,
                       length == 0 ? "empty" : "too long for a pass phrase");
    }
    memcpy(buffer, file.data, length);
    file_free(&file);
    return (int)length;
}

/* For PEM_read_bio_PrivateKey. */
static int on_passphrase(char *buffer, int room, int writing, void *argument)
{
    struct passphrase *ask = argument;
    char prompt[300];
    (void)writing;

    if (ask->policy->passphrase_file != NULL)
        return from_file(ask->policy, buffer, room, ask->err);
    snprintf(prompt, sizeof prompt, "Pass phrase for %s: ", ask->key);
    int length =
        ask->policy->may_ask && isatty(STDIN_FILENO) == 1 ? secret_ask(prompt, buffer, (size_t)room) : -1;
    if (length >= 0)
        return length;
    return err_set(
        ask->err, ERR_SYSTEM_FILE, 0,
        "the key in %s is encrypted and there is no terminal to ask for its pass phrase: give --key-passphrase-file",
        ask->key);
}

/* Whether a certificate's file holds a key beside it: where it does not, --key is missing, and chmod does not
 * help. */
static bool holds_key(const struct file *file)
{
    static const char mark[] = "PRIVATE KEY-----";
    size_t length = sizeof mark - 1;
    for (size_t i = 0; i + length <= file->length; i++)
        if (memcmp(file->data + i, mark, length) == 0)
            return true;
    return false;
}

/* OpenSSL leaves a copy of the pass phrase on the stack. Not inlined: it has to have the memory that the
 * function called before it had. */
__attribute__((noinline)) static void cleanse_stack(void)
{
    unsigned char used[STACK_BYTES];
    OPENSSL_cleanse(used, sizeof used);
}

static int load_key(struct tls_identity *identity, const char *path, const struct file *file,
                    const struct tls_policy *policy, struct err *err)
{
    struct passphrase ask = {policy, path, err};
    if (!policy->insecure && tls_check_mode("the key in", path, file, err) < 0)
        return -1;
    BIO *bio = tls_file_bio(file, err);
    if (bio == NULL)
        return -1;
    identity->key = PEM_read_bio_PrivateKey(bio, NULL, on_passphrase, &ask);
    BIO_free(bio);
    cleanse_stack();
    if (identity->key != NULL)
        return 0;
    bool wrong = ERR_GET_REASON(ERR_peek_last_error()) == PEM_R_BAD_DECRYPT ||
                 ERR_GET_LIB(ERR_peek_error()) == ERR_LIB_EVP ||
                 ERR_GET_LIB(ERR_peek_error()) == ERR_LIB_PROV;
    ERR_clear_error();
    if (wrong && err->reason == ERR_OK)
        return err_set(err, ERR_SYSTEM_FILE, 0, "the pass phrase for the key in %s is wrong", path);
    if (holds_key(file))
        return err_set(err, ERR_SYSTEM_FILE, 0,
                       "the private key in %s cannot be read: it is damaged or of an unknown kind", path);
    return err_set(err, ERR_SYSTEM_FILE, 0, "there is no private key in %s (PEM is expected)", path);
}

static int load_certificates(struct tls_identity *identity, const char *path, const struct file *file,
                             struct err *err)
{
    BIO *bio = tls_file_bio(file, err);
    X509 *next;
    if (bio == NULL)
        return -1;

    identity->certificate = PEM_read_bio_X509_AUX(bio, NULL, NULL, NULL);
    identity->chain = sk_X509_new_null();
    while (identity->certificate != NULL && identity->chain != NULL &&
           (next = PEM_read_bio_X509(bio, NULL, NULL, NULL)) != NULL) {
        if (sk_X509_push(identity->chain, next) == 0) {
            X509_free(next);
            break;
        }
    }
    BIO_free(bio);
    bool whole = ERR_GET_REASON(ERR_peek_last_error()) == PEM_R_NO_START_LINE;
    ERR_clear_error();
    if (identity->chain == NULL || !whole)
        return err_set(err, ERR_SYSTEM_FILE, 0, "certificate %d in %s is damaged",
                       identity->certificate != NULL ? sk_X509_num(identity->chain) + 2 : 1, path);
    if (identity->certificate == NULL)
        return err_set(err, ERR_SYSTEM_FILE, 0, "there is no certificate in %s (PEM is expected)", path);
    return 0;
}

/* The curves and kinds of keys that the signature algorithms and groups offered here have, for both roles:
 * with another, every handshake would fail. */
static int check_kind(const struct tls_identity *identity, const char *path, struct err *err)
{
    static const int curves[] = {NID_X9_62_prime256v1, NID_secp384r1, NID_secp521r1};
    char curve[64] = "of its own parameters";
    size_t length;

    switch (EVP_PKEY_get_base_id(identity->key)) {
    case EVP_PKEY_RSA:
    case EVP_PKEY_RSA_PSS:
    case EVP_PKEY_ED25519:
    case EVP_PKEY_ED448:
        return 0;
    case EVP_PKEY_EC:
        if (EVP_PKEY_get_group_name(identity->key, curve, sizeof curve, &length) == 1)
            for (size_t i = 0; i < sizeof curves / sizeof curves[0]; i++)
                if (OBJ_txt2nid(curve) == curves[i])
                    return 0;
        ERR_clear_error();
        return err_set(
            err, ERR_SYSTEM_FILE, 0,
            "the key in %s is on the curve %s, which the groups and signatures offered by this program exclude: no TLS handshake can succeed (use P-256, P-384 or P-521)",
            path, curve);
    default:
        return err_set(
            err, ERR_SYSTEM_FILE, 0,
            "the key in %s is of the kind %s, with which no TLS handshake can succeed (use EC, RSA or Ed25519)",
            path, EVP_PKEY_get0_type_name(identity->key));
    }
}

/* The first certificate must be the key's. */
static int check_pair(const struct tls_identity *identity, const struct tls_files *files, const char *path,
                      struct err *err)
{
    int at = X509_check_private_key(identity->certificate, identity->key) == 1 ? 1 : 0;
    for (int i = 0; i < sk_X509_num(identity->chain) && at == 0; i++)
        if (X509_check_private_key(sk_X509_value(identity->chain, i), identity->key) == 1)
            at = i + 2;
    ERR_clear_error();
    if (at == 1)
        return 0;
    if (at == 0)
        return err_set(err, ERR_SYSTEM_FILE, 0, "the key in %s does not belong to the certificate in %s",
                       path, files->cert);
    return err_set(
        err, ERR_SYSTEM_FILE, 0,
        "the key in %s belongs to certificate %d in %s, which must be the first there, in front of the CA certificates",
        path, at, files->cert);
}

int tls_identity_load(struct tls_identity *identity, const struct tls_files *files,
                      const struct tls_policy *policy, struct err *err)
{
    const char *path = files->key != NULL ? files->key : files->cert;
    struct file certs = {0}, key = {0};
    int result = -1;

    *identity = (struct tls_identity){0};
    ERR_clear_error();
    if (file_read("--cert", files->cert, &certs, err) < 0 ||
        tls_pem_check("--cert", files->cert, &certs, err) < 0 ||
        load_certificates(identity, files->cert, &certs, err) < 0)
        goto out;
    if (files->key == NULL && !holds_key(&certs)) {
        err_set(err, ERR_SYSTEM_FILE, 0, "there is no private key in %s: give --key FILE", path);
        goto out;
    }
    if (files->key != NULL &&
        (file_read("--key", path, &key, err) < 0 || tls_pem_check("--key", path, &key, err) < 0))
        goto out;
    if (load_key(identity, path, files->key != NULL ? &key : &certs, policy, err) < 0)
        goto out;
    if (check_kind(identity, path, err) == 0 && check_pair(identity, files, path, err) == 0)
        result = 0;
out:
    file_free(&certs);
    file_free(&key);
    if (result < 0)
        tls_identity_fini(identity);
    return result;
}

static X509 *duplicate(const X509 *certificate)
{
    return X509_dup((X509 *)certificate); /* const only since OpenSSL 3.0's later headers */
}

int tls_identity_copy(struct tls_identity *identity, const struct tls_identity *from, struct err *err)
{
    *identity = (struct tls_identity){.certificate = X509_dup(from->certificate),
                                      .key = EVP_PKEY_dup(from->key),
                                      .chain = sk_X509_deep_copy(from->chain, duplicate, X509_free)};
    if (identity->certificate != NULL && identity->key != NULL &&
        (identity->chain != NULL || from->chain == NULL))
        return 0;
    tls_identity_fini(identity);
    return tls_fail(err, ERR_INTERNAL, "copying a certificate");
}

static int add_extension(X509 *certificate, int nid, const char *value)
{
    X509V3_CTX context;
    X509V3_set_ctx_nodb(&context);
    X509V3_set_ctx(&context, certificate, certificate, NULL, NULL, 0);
    X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, &context, nid, value);
    int added = extension != NULL && X509_add_ext(certificate, extension, -1) == 1;
    X509_EXTENSION_free(extension);
    return added;
}

static int add_random_serial(X509 *certificate)
{
    BIGNUM *number = BN_new();
    int done = number != NULL && BN_rand(number, 120, BN_RAND_TOP_ONE, BN_RAND_BOTTOM_ANY) == 1 &&
               BN_to_ASN1_INTEGER(number, X509_get_serialNumber(certificate)) != NULL;
    BN_free(number);
    return done;
}

static int add_common_name(X509 *certificate)
{
    X509_NAME *name = X509_NAME_new();
    int done = name != NULL &&
               X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_UTF8,
                                          (const unsigned char *)"tcpgreet, this run only", -1, -1, 0) == 1 &&
               X509_set_subject_name(certificate, name) == 1 && X509_set_issuer_name(certificate, name) == 1;
    X509_NAME_free(name);
    return done;
}

int tls_identity_make(struct tls_identity *identity, struct err *err)
{
    enum { HOUR = 3600, DAY = 24 * HOUR, VERSION_3 = 2 };

    *identity = (struct tls_identity){.certificate = X509_new(), .key = EVP_EC_gen("P-256")};
    X509 *certificate = identity->certificate;
    if (certificate != NULL && identity->key != NULL && X509_set_version(certificate, VERSION_3) == 1 &&
        X509_gmtime_adj(X509_getm_notBefore(certificate), -HOUR) != NULL &&
        X509_gmtime_adj(X509_getm_notAfter(certificate), (long)MADE_DAYS * DAY) != NULL &&
        add_random_serial(certificate) && add_common_name(certificate) &&
        X509_set_pubkey(certificate, identity->key) == 1 &&
        add_extension(certificate, NID_subject_alt_name, "DNS:localhost,IP:127.0.0.1,IP:::1") &&
        add_extension(certificate, NID_ext_key_usage, "serverAuth") &&
        X509_sign(certificate, identity->key, EVP_sha256()) > 0)
        return 0;
    tls_identity_fini(identity);
    return tls_fail(err, ERR_INTERNAL, "making a certificate");
}
