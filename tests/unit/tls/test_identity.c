#include <openssl/err.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "support/tls_party.h"
#include "tls/context.h"
#include "tls/identity.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define PHRASE "correct horse"

/* The files that the cases name, made once. */
static const char *const texts[][2] = {
    {"empty.pem", ""},
    {"prose.pem", "Dear reader,\nthis is no PEM.\n"},
    {"broken.pem", "-----BEGIN CERTIFICATE-----\nMIIB!!!!\n-----END CERTIFICATE-----\n"},
    {"broken.key", "-----BEGIN PRIVATE KEY-----\nMIIB!!!!\n-----END PRIVATE KEY-----\n"},
    {"not-asn1.pem", "-----BEGIN CERTIFICATE-----\nQUJDREVGR0g=\n-----END CERTIFICATE-----\n"},
    {"phrase", PHRASE "\nsecond line\n"},
    {"phrase.crlf", PHRASE "\r\n"},
    {"phrase.bare", PHRASE},
    {"phrase.wrong", "wrong horse\n"},
    {"phrase.empty", ""},
    {"phrase.blank", "\n"},
};

static char *path_of(const struct certificates *all, const char *file)
{
    static char paths[4][CERTIFICATES_PATH_BYTES];
    static unsigned turn;
    char *path = paths[turn++ % COUNT(paths)];
    certificates_path(all, file, path);
    return path;
}

/* Appends the first half of a file to another. */
static void put_half(const char *from, const char *to)
{
    char data[16 * 1024];
    int in = open(from, O_RDONLY), out = open(to, O_WRONLY | O_CREAT | O_APPEND, 0600);
    ssize_t length = read(in, data, sizeof data);
    assert_true(in >= 0 && out >= 0 && length > 0);
    assert_int_equal(write(out, data, (size_t)length / 2), length / 2);
    close(in);
    close(out);
}

static void append(const char *path, const char *text)
{
    FILE *file = fopen(path, "a");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

/* A certificate and its key on each curve. */
static void put_on_curves(const struct certificates *all)
{
    static const char *const curves[] = {"brainpoolP256r1", "secp256k1", "secp224r1", "P-384", "P-521"};
    for (size_t i = 0; i < COUNT(curves); i++) {
        char name[32];
        struct certificate certificate;
        certificate_make(&certificate,
                         &(struct certificate_wish){.names = "DNS:localhost", .curve = curves[i]});
        snprintf(name, sizeof name, "%s.pem", i == 0 ? "brainpool" : curves[i]);
        certificates_put(path_of(all, name), certificate.x509);
        certificates_put_key(path_of(all, name), certificate.key, NULL);
        certificate_fini(&certificate);
    }
}

static int make_files(void **state)
{
    certificates_set_up(state);
    struct certificates *all = *state;
    struct certificate weak;

    for (size_t i = 0; i < COUNT(texts); i++)
        certificates_put_bytes(path_of(all, texts[i][0]), (struct bytes){texts[i][1], strlen(texts[i][1])});
    certificates_put(path_of(all, "server.crt"), all->server.x509);
    certificates_put(path_of(all, "chain.crt"), all->server.x509);
    certificates_put(path_of(all, "chain.crt"), all->intermediate.x509);
    certificates_put(path_of(all, "cut.crt"), all->server.x509);
    put_half(path_of(all, "server.crt"), path_of(all, "cut.crt"));
    put_half(path_of(all, "server.crt"), path_of(all, "half.crt"));
    certificates_put(path_of(all, "second-broken.pem"), all->server.x509);
    append(path_of(all, "second-broken.pem"), texts[2][1]);
    certificates_put(path_of(all, "root-first.crt"), all->root.x509);
    certificates_put(path_of(all, "root-first.crt"), all->server.x509);
    put_on_curves(all);
    certificates_put_key(path_of(all, "server.key"), all->server.key, NULL);
    put_half(path_of(all, "server.key"), path_of(all, "half.key"));
    certificates_put_key(path_of(all, "client.key"), all->client.key, NULL);
    certificates_put_key(path_of(all, "locked.key"), all->server.key, PHRASE);
    certificate_make(&weak,
                     &(struct certificate_wish){.names = "DNS:localhost", .kind = CERTIFICATE_RSA_1024});
    certificates_put(path_of(all, "weak.pem"), weak.x509);
    certificates_put_key(path_of(all, "weak.pem"), weak.key, NULL);
    certificate_fini(&weak);
    return 0;
}

/* Certificate and key as they are named, and why they are refused; NULL: they are taken. */
static const struct {
    const char *cert, *key, *phrase;
    const char *sentence;
} cases[] = {
    {"server.crt", "server.key", NULL, NULL},
    {"server.pem", NULL, NULL, NULL},
    {"server.pem", "server.pem", NULL, NULL},
    {"chain.crt", "server.key", NULL, NULL},
    {"server.crt", "locked.key", "phrase", NULL},
    {"server.crt", "locked.key", "phrase.crlf", NULL},
    {"server.crt", "locked.key", "phrase.bare", NULL},
    {"server.crt", "server.key", "phrase.wrong", NULL}, /* not needed */
    {"server.crt", "client.key", NULL, "client.key does not belong to the certificate in "},
    {"server.crt", "weak.pem", NULL, "weak.pem does not belong to the certificate in "},
    {"server.crt", "locked.key", "phrase.wrong", "the pass phrase for the key in "},
    {"server.crt", "locked.key", "phrase.blank", "phrase.blank is empty"},
    {"server.crt", "locked.key", "phrase.empty", "phrase.empty is empty"},
    {"server.crt", "locked.key", "phrase.none", "phrase.none cannot be read: No such file or directory"},
    {"server.crt", "locked.key", NULL,
     "is encrypted and there is no terminal to ask for its pass phrase: give --key-passphrase-file"},
    {"none.crt", "server.key", NULL, "none.crt cannot be read: No such file or directory"},
    {"server.crt", "none.key", NULL, "none.key cannot be read: No such file or directory"},
    {"empty.pem", "server.key", NULL, "there is no certificate in "},
    {"prose.pem", "server.key", NULL, "there is no certificate in "},
    {"server.key", "server.key", NULL, "there is no certificate in "},
    {"broken.pem", "server.key", NULL, "certificate 1 in "},
    {"second-broken.pem", "server.key", NULL, "second-broken.pem is damaged"},
    {"second-broken.pem", "server.key", NULL, "certificate 2 in "},
    {"not-asn1.pem", "server.key", NULL, "not-asn1.pem is damaged"},
    {"half.crt", "server.key", NULL,
     "half.crt is damaged: block 1 (CERTIFICATE) was cut off, its END line is missing"},
    {"cut.crt", "server.key", NULL,
     "cut.crt is damaged: block 2 (CERTIFICATE) was cut off, its END line is missing"},
    {"root-first.crt", "server.key", NULL, "server.key belongs to certificate 2 in "},
    {"brainpool.pem", NULL, NULL,
     "brainpool.pem is on the curve brainpoolP256r1, which the groups and signatures offered by this program exclude"},
    {"secp256k1.pem", NULL, NULL, "is on the curve secp256k1, which"},
    {"secp224r1.pem", NULL, NULL, "is on the curve secp224r1, which"},
    {"P-521.pem", NULL, NULL, NULL},
    {"P-384.pem", NULL, NULL, NULL},
    {"server.crt", "empty.pem", NULL, "there is no private key in "},
    {"server.crt", "server.crt", NULL, "there is no private key in "},
    {"server.crt", NULL, NULL, "server.crt: give --key FILE"},
    {"server.crt", ".", NULL, "/. cannot be read: it is a directory"},
    {"server.crt", "prose.pem", NULL, "there is no private key in "},
    {"server.crt", "broken.key", NULL, "broken.key cannot be read: it is damaged or of an unknown kind"},
    {"server.crt", "half.key", NULL,
     "half.key is damaged: block 1 (PRIVATE KEY) was cut off, its END line is missing"},
};

static void a_certificate_and_its_key_are_taken_or_refused_in_words(void **state)
{
    const struct certificates *all = *state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct tls_identity identity;
        struct err err = {0};
        const struct tls_files files = {path_of(all, cases[i].cert),
                                        cases[i].key != NULL ? path_of(all, cases[i].key) : NULL};
        const struct tls_policy policy = {.passphrase_file =
                                              cases[i].phrase != NULL ? path_of(all, cases[i].phrase) : NULL};
        int result = tls_identity_load(&identity, &files, &policy, &err);
        if (cases[i].sentence == NULL
                ? result != 0
                : err.reason != ERR_SYSTEM_FILE || strstr(err.text, cases[i].sentence) == NULL)
            fail_msg("case %zu: message \"%s\" (%s)", i, err.text, err_word(err.reason));
        assert_int_equal(result, cases[i].sentence == NULL ? 0 : -1);
        assert_int_equal(ERR_peek_error(), 0);
        assert_int_equal(identity.certificate != NULL && identity.key != NULL, result == 0);
        if (result == 0)
            assert_int_equal(sk_X509_num(identity.chain), strcmp(cases[i].cert, "chain.crt") == 0);
        tls_identity_fini(&identity);
    }
}

static void a_key_that_others_can_read_is_refused_unless_insecure(void **state)
{
    static const struct {
        mode_t mode;
        bool taken;
    } modes[] = {{0600, true},  {0400, true},  {0640, true},  {0440, true},  {0644, false},
                 {0604, false}, {0602, false}, {0601, false}, {0660, false}, {0620, false}};
    const struct certificates *all = *state;
    const struct tls_files files = {path_of(all, "server.crt"), path_of(all, "server.key")};

    assert_int_equal(chmod(files.cert, 0666), 0); /* a certificate is no secret */
    for (size_t i = 0; i < 2 * COUNT(modes); i++) {
        const struct tls_policy policy = {.insecure = i % 2 == 1};
        struct tls_identity identity;
        struct err err = {0};
        assert_int_equal(chmod(files.key, modes[i / 2].mode), 0);
        bool taken = tls_identity_load(&identity, &files, &policy, &err) == 0;
        assert_int_equal(taken, modes[i / 2].taken || policy.insecure);
        if (!taken) {
            char sentence[512];
            snprintf(sentence, sizeof sentence,
                     "the key in %s is accessible to others (mode %04o): chmod 600 %s, or --insecure",
                     files.key, (unsigned)modes[i / 2].mode, files.key);
            assert_string_equal(err.text, sentence);
            assert_int_equal(err.reason, ERR_SYSTEM_PERMISSION);
        }
        tls_identity_fini(&identity);
    }
    assert_int_equal(chmod(files.key, 0600), 0);
}

static void a_pass_phrase_that_others_can_read_is_refused_unless_insecure(void **state)
{
    const struct certificates *all = *state;
    const struct tls_files files = {path_of(all, "server.crt"), path_of(all, "locked.key")};
    const char *phrase = path_of(all, "phrase");
    assert_int_equal(chmod(phrase, 0644), 0);
    for (int insecure = 0; insecure < 2; insecure++) {
        const struct tls_policy policy = {.insecure = insecure == 1, .passphrase_file = phrase};
        struct tls_identity identity;
        struct err err = {0};
        assert_int_equal(tls_identity_load(&identity, &files, &policy, &err), insecure == 1 ? 0 : -1);
        assert_int_equal(err.reason, insecure == 1 ? ERR_OK : ERR_SYSTEM_PERMISSION);
        assert_true(insecure == 1 ||
                    strstr(err.text, "phrase is accessible to others (mode 0644): chmod 600") != NULL);
        tls_identity_fini(&identity);
    }
    assert_int_equal(chmod(phrase, 0600), 0);
}

static void a_key_in_the_certificates_file_is_guarded_too(void **state)
{
    const struct certificates *all = *state;
    const struct tls_files files = {path_of(all, "server.pem"), NULL};
    struct tls_identity identity;
    struct err err = {0};

    assert_int_equal(chmod(files.cert, 0644), 0);
    assert_int_equal(tls_identity_load(&identity, &files, &(struct tls_policy){0}, &err), -1);
    assert_int_equal(err.reason, ERR_SYSTEM_PERMISSION);
    assert_int_equal(chmod(files.cert, 0600), 0);
}

static void a_certificate_without_a_key_is_no_secret(void **state)
{
    const struct certificates *all = *state;
    const struct tls_files files = {path_of(all, "server.crt"), NULL};
    struct tls_identity identity;
    struct err err = {0};

    assert_int_equal(chmod(files.cert, 0644), 0);
    assert_int_equal(tls_identity_load(&identity, &files, &(struct tls_policy){0}, &err), -1);
    assert_non_null(strstr(err.text, "server.crt: give --key FILE"));
}

/* Neither a server nor a client begins with files that do not do. */
static void bad_files_are_refused_before_anything_else(void **state)
{
    const struct certificates *all = *state;
    struct tls_files files[3];
    struct err err = {0};
    for (size_t i = 0; i < COUNT(files); i++)
        files[i] = (struct tls_files){all->server_file, NULL};

    files[1].cert = path_of(all, "broken.pem"); /* one bad among good */
    assert_null(
        tls_server_new(&(struct tls_server_config){.identities = {files[0], files[1], files[2]}}, &err));
    assert_int_equal(err.reason, ERR_SYSTEM_FILE);
    err_clear(&err);
    assert_null(tls_client_new(&(struct tls_client_config){.ca = all->ca_file, .identity = files[1]}, &err));
    assert_int_equal(err.reason, ERR_SYSTEM_FILE);
    err_clear(&err);

    files[0].cert = path_of(all, "weak.pem");
    assert_null(tls_server_new(&(struct tls_server_config){.identities = {files[0]}}, &err));
    assert_int_equal(err.reason, ERR_SYSTEM_FILE);
    assert_non_null(strstr(err.text, "too short"));
    assert_int_equal(ERR_peek_error(), 0);
}

static void a_ca_that_cannot_be_read_is_refused(void **state)
{
    const struct certificates *all = *state;
    const struct {
        const char *path, *sentence;
    } paths[] = {{"/nonexistent", "--ca /nonexistent cannot be read: No such file or directory"},
                 {path_of(all, "prose.pem"), "there is no CA certificate in "},
                 {path_of(all, "empty.pem"), "there is no CA certificate in "}};
    for (size_t i = 0; i < COUNT(paths); i++) {
        struct err err = {0};
        assert_null(tls_client_new(&(struct tls_client_config){.ca = paths[i].path}, &err));
        assert_int_equal(err.reason, ERR_SYSTEM_FILE);
        assert_non_null(strstr(err.text, paths[i].sentence));
        assert_int_equal(ERR_peek_error(), 0);
    }
}

/* A server's own chain, of what its file has: what does not lead up from its certificate does not count. */
static void the_ca_of_a_server_that_expires_before_its_certificate_is_named(void **state)
{
    const struct certificates *all = *state;
    struct certificate soon, leaf;
    struct tls_identity_facts facts;
    const char *path = path_of(all, "soon.pem");

    certificate_make(&soon,
                     &(struct certificate_wish){.issuer = &all->root, .common_name = "soon CA", .ca = true});
    certificate_make(&leaf, &(struct certificate_wish){
                                .issuer = &soon, .names = "DNS:localhost", .until_s = 9 * CERTIFICATES_DAY});
    for (int sends = 0; sends < 2; sends++) {
        certificates_put_bytes(path, (struct bytes){"", 0});
        certificates_put(path, leaf.x509);
        certificates_put(path, all->intermediate.x509);
        if (sends)
            certificates_put(path, soon.x509);
        certificates_put_key(path, leaf.key, NULL);
        struct tls_server *server =
            tls_party_server(&(struct tls_server_config){.identities = {{path, NULL}}});
        assert_true(tls_server_identity(server, 0, &facts));
        assert_string_equal(facts.expires_first, sends ? "soon CA" : "");
        assert_true(!sends || facts.expires_first_at < facts.not_after);
        tls_server_free(server);
    }
    certificate_fini(&leaf);
    certificate_fini(&soon);
}

/* --tls with no --cert: its pin is all a client needs. */
static void a_certificate_made_in_memory_serves_and_is_known_by_its_pin(void **state)
{
    (void)state;
    struct tls_server *server = tls_party_server(&(struct tls_server_config){0});
    struct tls_identity_facts facts, other;
    struct tls_meeting meeting = {0};
    struct tls_pin pin;

    assert_true(tls_server_identity(server, 0, &facts));
    assert_false(tls_server_identity(server, 1, &other));
    assert_string_equal(facts.names, "localhost, 127.0.0.1, ::1");
    assert_in_range(facts.not_after - (int64_t)time(NULL), 29 * CERTIFICATES_DAY, 31 * CERTIFICATES_DAY);
    assert_int_equal(tls_pin_parse(facts.pin, &pin), 0);

    struct tls_client *client = tls_party_client(&(struct tls_client_config){.pins = {1, {pin}}});
    tls_meeting_connect(&meeting, client, server, "192.0.2.7");
    tls_meeting_shake(&meeting);
    assert_string_equal(meeting.client.facts.pin, facts.pin + strlen("sha256:"));
    tls_meeting_part(&meeting);
    tls_client_free(client);

    struct tls_server *another = tls_party_server(&(struct tls_server_config){0});
    assert_true(tls_server_identity(another, 0, &other));
    assert_string_not_equal(facts.pin, other.pin);
    tls_server_free(another);
    tls_server_free(server);
}

static void a_pin_is_64_hexadecimal_digits(void **state)
{
    static const char *const wrong[] = {
        "",
        "sha256:",
        "sha256:00",
        "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
        "sha1:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
        "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdeg",
        "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0",
        "sha256:01:23:45:67:89:ab:cd:ef:01:23:45:67:89:ab:cd:ef:01:23:45:67:89:a"};
    struct tls_pin pin;
    (void)state;
    assert_int_equal(
        tls_pin_parse("sha256:00123456789abcdeFF0123456789abcdef0123456789abcdef0123456789ABCD", &pin), 0);
    assert_int_equal(pin.sha256[0], 0x00);
    assert_int_equal(pin.sha256[1], 0x12);
    assert_int_equal(pin.sha256[31], 0xcd);
    for (size_t i = 0; i < COUNT(wrong); i++)
        assert_int_equal(tls_pin_parse(wrong[i], &pin), -1);
}

static void protocols_are_written_as_the_wire_has_them(void **state)
{
    char name[257];
    unsigned char wire[300];
    struct err err = {0};
    (void)state;
    assert_int_equal(tls_alpn_wire("h2,http/1.1", wire, sizeof wire, &err), 12);
    assert_memory_equal(wire, "\x02h2\x08http/1.1", 12);
    assert_int_equal(tls_alpn_wire("h2", wire, 3, &err), 3);

    memset(name, 'x', sizeof name);
    name[255] = '\0';
    assert_int_equal(tls_alpn_wire(name, wire, sizeof wire, &err), 256);
    assert_int_equal(wire[0], 255);
    name[255] = 'x';
    name[256] = '\0';
    const char *const wrong[] = {"", ",", "a,", ",a", "a,,b", name};
    for (size_t i = 0; i < COUNT(wrong); i++) {
        err_clear(&err);
        assert_int_equal(tls_alpn_wire(wrong[i], wire, sizeof wire, &err), 0);
        assert_int_equal(err.reason, ERR_USAGE);
        assert_non_null(strstr(err.text, "--alpn"));
    }
    err_clear(&err);
    assert_int_equal(tls_alpn_wire("h2", wire, 2, &err), 0);
    assert_int_equal(err.reason, ERR_USAGE);
}

/* No input on the terminal. */
static int set_up(void **state)
{
    int null = open("/dev/null", O_RDONLY);
    assert_int_equal(dup2(null, STDIN_FILENO), STDIN_FILENO);
    close(null);
    return make_files(state);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_certificate_and_its_key_are_taken_or_refused_in_words),
        cmocka_unit_test(a_key_that_others_can_read_is_refused_unless_insecure),
        cmocka_unit_test(a_pass_phrase_that_others_can_read_is_refused_unless_insecure),
        cmocka_unit_test(a_key_in_the_certificates_file_is_guarded_too),
        cmocka_unit_test(a_certificate_without_a_key_is_no_secret),
        cmocka_unit_test(bad_files_are_refused_before_anything_else),
        cmocka_unit_test(a_ca_that_cannot_be_read_is_refused),
        cmocka_unit_test(the_ca_of_a_server_that_expires_before_its_certificate_is_named),
        cmocka_unit_test(a_certificate_made_in_memory_serves_and_is_known_by_its_pin),
        cmocka_unit_test(a_pin_is_64_hexadecimal_digits),
        cmocka_unit_test(protocols_are_written_as_the_wire_has_them),
    };
    return cmocka_run_group_tests(tests, set_up, certificates_tear_down);
}
