/* Certificates made for tests, with any fault at will, and their files. Without memory each function aborts.
 */
#ifndef TCPGREET_TEST_CERTIFICATES_H
#define TCPGREET_TEST_CERTIFICATES_H

#include <openssl/x509.h>
#include <stdbool.h>
#include <stdint.h>

#include "tcpgreet/base/buf.h"

enum { CERTIFICATES_DAY = 24 * 60 * 60, CERTIFICATES_PATH_BYTES = 128 };

enum certificate_key { CERTIFICATE_P256, CERTIFICATE_RSA_2048, CERTIFICATE_RSA_1024 };

struct certificate {
    X509 *x509;
    EVP_PKEY *key;
};

/* {0}: self-signed, P-256 and SHA-256, for a day, with no name and for any purpose. */
struct certificate_wish {
    const struct certificate *issuer;
    const char *common_name;
    const char *names;       /* subjectAltName, as x509v3_config(5) has it */
    const char *purpose;     /* extendedKeyUsage, likewise */
    const char *usage;       /* keyUsage, likewise; of a CA instead of what CAs have */
    const char *basic;       /* basicConstraints, likewise */
    const char *constraints; /* nameConstraints, likewise */
    struct bytes name;       /* instead of `names`: one DNS name of any bytes */
    int64_t from_s;          /* seconds from now */
    int64_t until_s;         /* likewise; 0: a day */
    const char *from;        /* instead of from_s: a date as ASN1_TIME_set_string(3) has it */
    const char *until;       /* instead of until_s */
    enum certificate_key kind;
    const char *curve; /* instead of kind */
    bool ca;
    bool sha1;
    bool key_ids;          /* names its key and its issuer's, which has its own named, too */
    bool unknown_critical; /* has an unknown critical extension */
};

/* Shape: key pairs of RSA are made once a program, and are those of every certificate of their kind. */
void certificate_make(struct certificate *certificate, const struct certificate_wish *wish);
void certificate_fini(struct certificate *certificate);

/* Two CAs, one trusted, and what the trusted one signs for localhost, 127.0.0.1 and ::1; with files in a
 * folder of their own. */
struct certificates {
    char folder[CERTIFICATES_PATH_BYTES / 2];
    struct certificate root, intermediate; /* the intermediate stands under the root */
    struct certificate unknown_ca;         /* an untrusted root */
    struct certificate server, client;     /* of the root */
    char ca_file[CERTIFICATES_PATH_BYTES];
    char server_file[CERTIFICATES_PATH_BYTES]; /* certificate, then key */
    char client_file[CERTIFICATES_PATH_BYTES];
};

/* As cmocka's fixtures: *state becomes a struct certificates. */
int certificates_set_up(void **state);
int certificates_tear_down(void **state);

/* Returns: path, which is that of a file in the folder. */
const char *certificates_path(const struct certificates *certificates, const char *file,
                              char path[CERTIFICATES_PATH_BYTES]);

/* Appends to a PEM file of mode 0600: a certificate, a key. Shape: pass_phrase NULL: in clear. */
void certificates_put(const char *path, X509 *x509);
void certificates_put_key(const char *path, EVP_PKEY *key, const char *pass_phrase);

/* Makes a file of mode 0600 hold just these bytes. */
void certificates_put_bytes(const char *path, struct bytes bytes);

#endif
