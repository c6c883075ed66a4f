#include "facts.h"

#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/objects.h>
#include <openssl/ssl.h>
#include <string.h>

#include "certificate.h"
#include "memory.h"
#include "ocsp.h"
#include "tcpgreet/base/buf.h"
#include "tcpgreet/base/escape.h"

static void put(char *text, size_t room, const char *value)
{
    snprintf(text, room, "%s", value != NULL ? value : "");
}

void tls_facts_agreed(SSL *ssl, struct stream_tls_facts *facts)
{
    const unsigned char *alpn;
    unsigned alpn_length;
    int group = (int)SSL_get_negotiated_group(ssl);

    put(facts->version, sizeof facts->version, SSL_get_version(ssl));
    put(facts->cipher, sizeof facts->cipher, SSL_get_cipher_name(ssl));
    put(facts->group, sizeof facts->group, group > 0 ? SSL_group_to_name(ssl, group) : NULL);
    facts->resumed = SSL_session_reused(ssl) == 1;
    SSL_get0_alpn_selected(ssl, &alpn, &alpn_length);
    const char *sni = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
    if (sni != NULL)
        escape_text((struct bytes){sni, strlen(sni)}, facts->sni, sizeof facts->sni);
    if (alpn_length > 0)
        escape_text((struct bytes){(const char *)alpn, alpn_length}, facts->alpn, sizeof facts->alpn);
}

/* "EC P-256", "RSA 2048", "ED25519"; "" for a key that OpenSSL does not know. */
static void put_key(const X509 *certificate, char *text, size_t room)
{
    const EVP_PKEY *key = X509_get0_pubkey(certificate);
    const char *type = key != NULL ? EVP_PKEY_get0_type_name(key) : NULL;
    char group[28];
    size_t length;

    if (type == NULL)
        return;
    if (EVP_PKEY_get_base_id(key) == EVP_PKEY_EC &&
        EVP_PKEY_get_group_name(key, group, sizeof group, &length) == 1) {
        const char *nist = EC_curve_nid2nist(OBJ_sn2nid(group));
        snprintf(text, room, "%s %s", type, nist != NULL ? nist : group);
    } else if (EVP_PKEY_get_base_id(key) == EVP_PKEY_EC || strncmp(type, "RSA", 3) == 0) {
        snprintf(text, room, "%s %d", type, EVP_PKEY_get_bits(key));
    } else {
        put(text, room, type);
    }
}

static void put_certificate(X509 *certificate, struct stream_tls_facts *facts)
{
    struct tls_pin pin;
    char text[TLS_PIN_TEXT_BYTES];
    facts->nameless =
        tls_certificate_alternative_names(certificate, facts->subject, sizeof facts->subject) == 0 &&
        !tls_memory_is_short();
    if (facts->nameless && facts->subject[0] == '\0')
        tls_name_text(X509_get_subject_name(certificate), facts->subject, sizeof facts->subject);
    tls_name_text(X509_get_issuer_name(certificate), facts->issuer, sizeof facts->issuer);
    facts->not_before = tls_seconds(X509_get0_notBefore(certificate));
    facts->not_after = tls_seconds(X509_get0_notAfter(certificate));
    put_key(certificate, facts->key, sizeof facts->key);
    if (tls_certificate_pin(certificate, &pin) == 0) {
        tls_pin_format(&pin, text);
        put(facts->pin, sizeof facts->pin, text + strlen("sha256:"));
    }
}

static void put_link(X509 *certificate, struct stream_tls_facts *facts)
{
    if (facts->chain_count < STREAM_TLS_CHAIN_MAX) {
        tls_certificate_title(certificate, facts->chain[facts->chain_count], sizeof facts->chain[0]);
    }
    facts->chain_count++;
}

/* Where nothing was verified, as in a resumed session, the certificates that were sent are what a client
 * needs. */
static void put_expiry(SSL *ssl, X509 *leaf, const STACK_OF(X509) * sent, struct stream_tls_facts *facts)
{
    X509 *first = tls_first_to_expire(SSL_get0_verified_chain(ssl));
    if (first == NULL)
        first = tls_first_to_expire_of_sent(leaf, sent);
    if (X509_cmp(first, leaf) == 0)
        return;
    facts->expires_first_at = tls_seconds(X509_get0_notAfter(first));
    tls_certificate_title(first, facts->expires_first, sizeof facts->expires_first);
}

static const char *const ocsp_words[] = {[TLS_OCSP_NONE] = "",
                                         [TLS_OCSP_GOOD] = "good",
                                         [TLS_OCSP_REVOKED] = "revoked",
                                         [TLS_OCSP_UNUSABLE] = "unusable"};

bool tls_facts_peer(SSL *ssl, const struct tls_verdict *verdict, struct stream_tls_facts *facts)
{
    bool kept = verdict->leaf != NULL;
    X509 *leaf = kept ? verdict->leaf : SSL_get0_peer_certificate(ssl);
    const STACK_OF(X509) *chain = kept ? verdict->chain : SSL_get_peer_cert_chain(ssl);
    int code = verdict->code != X509_V_OK ? verdict->code : (int)SSL_get_verify_result(ssl);

    if (leaf == NULL)
        return false;
    tls_memory_begin();
    ERR_set_mark(); /* a key that cannot be read is no failure of the stream's */
    put_certificate(leaf, facts);
    if (SSL_is_server(ssl) == 1 || sk_X509_num(chain) <= 0) /* a server's begins above the leaf */
        put_link(leaf, facts);
    for (int i = 0; i < sk_X509_num(chain); i++)
        put_link(sk_X509_value(chain, i), facts);
    put_expiry(ssl, leaf, chain, facts);
    const char *ocsp = ocsp_words[tls_ocsp_status(ssl, &(int64_t){0})];
    put(facts->ocsp, sizeof facts->ocsp, tls_memory_is_short() ? "" : ocsp);
    facts->trusted = code == X509_V_OK;
    if (verdict->unread != NULL)
        put(facts->distrust, sizeof facts->distrust, "a file of the trust store cannot be used");
    else if (verdict->store != TLS_STORE_USABLE)
        put(facts->distrust, sizeof facts->distrust, "no trust store on this machine");
    else if (!facts->trusted)
        tls_verdict_brief(code, verdict->depth, facts->distrust, sizeof facts->distrust);
    ERR_pop_to_mark();
    return true;
}
