#include "support/certificates.h"

#include <dirent.h>
#include <fcntl.h>
#include <openssl/bn.h>
#include <openssl/ec.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void must(bool ok)
{
    if (!ok)
        abort();
}

static EVP_PKEY *rsa_key(unsigned bits)
{
    static struct {
        unsigned bits;
        EVP_PKEY *key;
    } made[2];
    size_t i = 0;

    while (made[i].bits != 0 && made[i].bits != bits)
        i++;
    if (made[i].key == NULL) {
        made[i].bits = bits;
        made[i].key = EVP_RSA_gen(bits);
    }
    must(made[i].key != NULL && EVP_PKEY_up_ref(made[i].key) == 1);
    return made[i].key;
}

static EVP_PKEY *key_of(enum certificate_key kind)
{
    switch (kind) {
    case CERTIFICATE_RSA_2048:
        return rsa_key(2048);
    case CERTIFICATE_RSA_1024:
        return rsa_key(1024);
    default:
        return EVP_EC_gen("P-256");
    }
}

static void set_name(X509 *x509, const char *common_name)
{
    X509_NAME *name = X509_NAME_new();
    must(name != NULL);
    if (common_name != NULL)
        must(X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_UTF8, (const unsigned char *)common_name, -1, -1,
                                        0) == 1);
    must(X509_set_subject_name(x509, name) == 1);
    X509_NAME_free(name);
}

static void add_extension(X509 *x509, X509 *issuer, int nid, const char *value)
{
    X509V3_CTX context;
    X509V3_set_ctx_nodb(&context);
    X509V3_set_ctx(&context, issuer, x509, NULL, NULL, 0);
    X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, &context, nid, value);
    must(extension != NULL && X509_add_ext(x509, extension, -1) == 1);
    X509_EXTENSION_free(extension);
}

static void add_raw_name(X509 *x509, struct bytes bytes)
{
    GENERAL_NAMES *names = GENERAL_NAMES_new();
    GENERAL_NAME *name = GENERAL_NAME_new();
    ASN1_IA5STRING *text = ASN1_IA5STRING_new();
    must(names != NULL && name != NULL && text != NULL);
    must(ASN1_STRING_set(text, bytes.data, (int)bytes.length) == 1);
    GENERAL_NAME_set0_value(name, GEN_DNS, text);
    must(sk_GENERAL_NAME_push(names, name) > 0);
    must(X509_add1_ext_i2d(x509, NID_subject_alt_name, names, 0, 0) == 1);
    GENERAL_NAMES_free(names);
}

static void add_unknown(X509 *x509)
{
    ASN1_OBJECT *id = OBJ_txt2obj("1.3.6.1.4.1.32473.1", 1); /* RFC 5612: for examples */
    ASN1_OCTET_STRING *value = ASN1_OCTET_STRING_new();
    must(id != NULL && value != NULL && ASN1_STRING_set(value, "\x05", 2) == 1);
    X509_EXTENSION *extension = X509_EXTENSION_create_by_OBJ(NULL, id, 1, value);
    must(extension != NULL && X509_add_ext(x509, extension, -1) == 1);
    X509_EXTENSION_free(extension);
    ASN1_OCTET_STRING_free(value);
    ASN1_OBJECT_free(id);
}

static void add_extensions(X509 *x509, X509 *issuer, const struct certificate_wish *wish)
{
    if (wish->ca) {
        add_extension(x509, issuer, NID_basic_constraints,
                      wish->basic != NULL ? wish->basic : "critical,CA:TRUE");
        add_extension(x509, issuer, NID_key_usage,
                      wish->usage != NULL ? wish->usage : "critical,keyCertSign,cRLSign");
    } else if (wish->usage != NULL) {
        add_extension(x509, issuer, NID_key_usage, wish->usage);
    }
    if (wish->key_ids) {
        add_extension(x509, issuer, NID_subject_key_identifier, "hash");
        add_extension(x509, issuer, NID_authority_key_identifier, "keyid:always");
    }
    if (wish->constraints != NULL)
        add_extension(x509, issuer, NID_name_constraints, wish->constraints);
    if (wish->names != NULL)
        add_extension(x509, issuer, NID_subject_alt_name, wish->names);
    if (wish->purpose != NULL)
        add_extension(x509, issuer, NID_ext_key_usage, wish->purpose);
    if (wish->name.length > 0)
        add_raw_name(x509, wish->name);
    if (wish->unknown_critical)
        add_unknown(x509);
}

static void set_time(ASN1_TIME *time, const char *date, int64_t from_now_s)
{
    if (date != NULL)
        must(ASN1_TIME_set_string(time, date) == 1);
    else
        must(X509_gmtime_adj(time, (long)from_now_s) != NULL);
}

void certificate_make(struct certificate *certificate, const struct certificate_wish *wish)
{
    static long serial;

    *certificate =
        (struct certificate){X509_new(), wish->curve != NULL ? EVP_EC_gen(wish->curve) : key_of(wish->kind)};
    X509 *x509 = certificate->x509;
    must(x509 != NULL && certificate->key != NULL);
    X509 *issuer = wish->issuer != NULL ? wish->issuer->x509 : x509;
    EVP_PKEY *signer = wish->issuer != NULL ? wish->issuer->key : certificate->key;

    must(X509_set_version(x509, X509_VERSION_3) == 1);
    must(ASN1_INTEGER_set(X509_get_serialNumber(x509), ++serial) == 1);
    set_time(X509_getm_notBefore(x509), wish->from, wish->from_s);
    set_time(X509_getm_notAfter(x509), wish->until, wish->until_s != 0 ? wish->until_s : CERTIFICATES_DAY);
    set_name(x509, wish->common_name);
    must(X509_set_issuer_name(x509, X509_get_subject_name(issuer)) == 1);
    must(X509_set_pubkey(x509, certificate->key) == 1);
    add_extensions(x509, issuer, wish);
    must(X509_sign(x509, signer, wish->sha1 ? EVP_sha1() : EVP_sha256()) > 0);
}

void certificate_fini(struct certificate *certificate)
{
    X509_free(certificate->x509);
    EVP_PKEY_free(certificate->key);
    *certificate = (struct certificate){0};
}

/* Opens a file of mode 0600, whatever the umask. */
static FILE *open_file(const char *path, int how)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC | how, 0600);
    FILE *file = fd >= 0 ? fdopen(fd, how == O_APPEND ? "a" : "w") : NULL;
    must(file != NULL);
    return file;
}

void certificates_put(const char *path, X509 *x509)
{
    FILE *file = open_file(path, O_APPEND);
    must(PEM_write_X509(file, x509) == 1);
    must(fclose(file) == 0);
}

void certificates_put_key(const char *path, EVP_PKEY *key, const char *pass_phrase)
{
    FILE *file = open_file(path, O_APPEND);
    const EVP_CIPHER *cipher = pass_phrase != NULL ? EVP_aes_128_cbc() : NULL;
    must(PEM_write_PKCS8PrivateKey(file, key, cipher, pass_phrase,
                                   pass_phrase != NULL ? (int)strlen(pass_phrase) : 0, NULL, NULL) == 1);
    must(fclose(file) == 0);
}

void certificates_put_bytes(const char *path, struct bytes bytes)
{
    FILE *file = open_file(path, O_TRUNC);
    must(fwrite(bytes.data, 1, bytes.length, file) == bytes.length);
    must(fclose(file) == 0);
}

const char *certificates_path(const struct certificates *certificates, const char *file,
                              char path[CERTIFICATES_PATH_BYTES])
{
    int length = snprintf(path, CERTIFICATES_PATH_BYTES, "%s/%s", certificates->folder, file);
    must(length > 0 && length < CERTIFICATES_PATH_BYTES);
    return path;
}

static void make_folder(struct certificates *certificates)
{
    const char *parent = getenv("TMPDIR");
    int length = snprintf(certificates->folder, sizeof certificates->folder, "%s/tcpgreet.XXXXXX",
                          parent != NULL && strlen(parent) < 32 ? parent : "/tmp");
    must(length > 0 && (size_t)length < sizeof certificates->folder && mkdtemp(certificates->folder) != NULL);
}

static void remove_folder(const struct certificates *certificates)
{
    DIR *folder = opendir(certificates->folder);
    must(folder != NULL);
    for (struct dirent *entry; (entry = readdir(folder)) != NULL;) {
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            must(unlinkat(dirfd(folder), entry->d_name, 0) == 0);
    }
    closedir(folder);
    must(rmdir(certificates->folder) == 0);
}

static void write_files(struct certificates *certificates)
{
    certificates_put(certificates_path(certificates, "ca.crt", certificates->ca_file),
                     certificates->root.x509);
    certificates_put(certificates_path(certificates, "server.pem", certificates->server_file),
                     certificates->server.x509);
    certificates_put_key(certificates->server_file, certificates->server.key, NULL);
    certificates_put(certificates_path(certificates, "client.pem", certificates->client_file),
                     certificates->client.x509);
    certificates_put_key(certificates->client_file, certificates->client.key, NULL);
}

int certificates_set_up(void **state)
{
    struct certificates *all = calloc(1, sizeof *all);
    must(all != NULL);
    certificate_make(&all->root, &(struct certificate_wish){.common_name = "test root", .ca = true});
    certificate_make(
        &all->intermediate,
        &(struct certificate_wish){.issuer = &all->root, .common_name = "test intermediate", .ca = true});
    certificate_make(&all->unknown_ca,
                     &(struct certificate_wish){.common_name = "test unknown CA", .ca = true});
    certificate_make(&all->server, &(struct certificate_wish){.issuer = &all->root,
                                                              .common_name = "test server",
                                                              .names = "DNS:localhost,IP:127.0.0.1,IP:::1",
                                                              .purpose = "serverAuth"});
    certificate_make(&all->client, &(struct certificate_wish){.issuer = &all->root,
                                                              .common_name = "test client",
                                                              .purpose = "clientAuth"});
    make_folder(all);
    write_files(all);
    *state = all;
    return 0;
}

int certificates_tear_down(void **state)
{
    struct certificates *all = *state;
    remove_folder(all);
    certificate_fini(&all->client);
    certificate_fini(&all->server);
    certificate_fini(&all->unknown_ca);
    certificate_fini(&all->intermediate);
    certificate_fini(&all->root);
    free(all);
    return 0;
}
