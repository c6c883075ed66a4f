#include "verify.h"

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include "certificate.h"
#include "lookup.h"
#include "memory.h"
#include "store.h"
#include "verdict.h"

static bool pin_matches(const struct tls_trust *trust, X509 *certificate)
{
    struct tls_pin pin;
    if (certificate == NULL || tls_certificate_pin(certificate, &pin) < 0)
        return false;
    for (size_t i = 0; i < trust->pins.count; i++)
        if (CRYPTO_memcmp(pin.sha256, trust->pins.list[i].sha256, TLS_PIN_BYTES) == 0)
            return true;
    return false;
}

/* What a pin replaces: the verification of chain and name. Dates, purpose and strength are still checked. */
static bool pin_covers(int code)
{
    switch (code) {
    case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
    case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
    case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
    case X509_V_ERR_CERT_UNTRUSTED:
    case X509_V_ERR_HOSTNAME_MISMATCH:
    case X509_V_ERR_IP_ADDRESS_MISMATCH:
        return true;
    default:
        return false;
    }
}

static X509 *with_reference(X509 *certificate)
{
    return certificate != NULL && X509_up_ref(certificate) == 1 ? certificate : NULL;
}

static SSL *ssl_of(X509_STORE_CTX *store)
{
    return X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx());
}

/* Returns: where the verdict on a connection's peer goes; NULL where nothing keeps it. */
static struct tls_verdict *verdict_of(X509_STORE_CTX *store)
{
    SSL *ssl = ssl_of(store);
    return ssl != NULL ? tls_verdict_of(ssl) : NULL;
}

/* The client reports the certificates that it received even if the handshake fails. */
static void keep_chain(X509_STORE_CTX *store)
{
    struct tls_verdict *verdict = verdict_of(store);
    if (verdict == NULL || verdict->leaf != NULL || SSL_is_server(ssl_of(store)) == 1)
        return;
    ERR_set_mark(); /* without memory, less is reported */
    verdict->leaf = with_reference(X509_STORE_CTX_get0_cert(store));
    verdict->chain = X509_chain_up_ref(X509_STORE_CTX_get0_untrusted(store));
    ERR_pop_to_mark();
}

/* When it was revoked, or when the list that does not count was or will be valid. */
static void keep_date(X509_STORE_CTX *store, struct tls_verdict *verdict)
{
    X509_REVOKED *entry = NULL;
    X509_CRL *crl = X509_STORE_CTX_get0_current_crl(store);
    if (crl == NULL)
        return;
    if (verdict->code == X509_V_ERR_CRL_HAS_EXPIRED)
        verdict->since = tls_seconds(X509_CRL_get0_nextUpdate(crl));
    else if (verdict->code == X509_V_ERR_CRL_NOT_YET_VALID)
        verdict->since = tls_seconds(X509_CRL_get0_lastUpdate(crl));
    else if (verdict->code == X509_V_ERR_CERT_REVOKED && verdict->certificate != NULL &&
             X509_CRL_get0_by_cert(crl, &entry, verdict->certificate) == 1)
        verdict->since = tls_seconds(X509_REVOKED_get0_revocationDate(entry));
}

/* Whether no CA that is trusted stands above. */
static bool is_about_trust(int code)
{
    return code != X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT && code != X509_V_ERR_HOSTNAME_MISMATCH &&
           code != X509_V_ERR_IP_ADDRESS_MISMATCH && pin_covers(code);
}

static bool is_sent(X509_STORE_CTX *store, const X509 *certificate)
{
    const STACK_OF(X509) *sent = X509_STORE_CTX_get0_untrusted(store);
    for (int i = 0; i < sk_X509_num(sent); i++)
        if (certificate != NULL && X509_cmp(sk_X509_value(sent, i), certificate) == 0)
            return true;
    return false;
}

/* Whether CAs of the issuer's name are trusted, of which none has signed the certificate. */
static bool has_other_key(X509_STORE_CTX *store, X509 *certificate)
{
    ERR_set_mark(); /* without memory, less is reported */
    STACK_OF(X509) *named = X509_STORE_CTX_get1_certs(store, X509_get_issuer_name(certificate));
    bool is_other = sk_X509_num(named) > 0;
    for (int i = 0; i < sk_X509_num(named); i++) {
        EVP_PKEY *key = X509_get0_pubkey(sk_X509_value(named, i));
        is_other = is_other && key != NULL && X509_verify(certificate, key) != 1;
    }
    sk_X509_pop_free(named, X509_free);
    ERR_pop_to_mark();
    return is_other;
}

/* OpenSSL has one code for the extended key usage and for the key usage. */
static bool is_of_key_usage(X509_STORE_CTX *store, X509 *certificate)
{
    uint32_t wanted = SSL_is_server(ssl_of(store)) == 1 ? XKU_SSL_CLIENT : XKU_SSL_SERVER | XKU_SGC;
    return (X509_get_extended_key_usage(certificate) & wanted) != 0 &&
           (X509_get_key_usage(certificate) & KU_DIGITAL_SIGNATURE) == 0;
}

/* What the code alone does not show. */
static void keep_circumstances(X509_STORE_CTX *store, struct tls_verdict *verdict)
{
    verdict->leaf_alone = sk_X509_num(X509_STORE_CTX_get0_untrusted(store)) <= 1;
    verdict->is_sent = verdict->depth == 0 || is_sent(store, verdict->certificate);
    if (verdict->certificate == NULL)
        return;
    verdict->is_other_key = is_about_trust(verdict->code) && has_other_key(store, verdict->certificate);
    if (verdict->code == X509_V_ERR_INVALID_PURPOSE && verdict->depth == 0 &&
        is_of_key_usage(store, verdict->certificate))
        verdict->code = X509_V_ERR_KEYUSAGE_NO_DIGITAL_SIGNATURE;
}

/* Any fault may be the work of a failed allocation, which is dropped where a key is decoded, for one: then
 * the key counts as too short. */
static void keep_verdict(X509_STORE_CTX *store, int code)
{
    struct tls_verdict *verdict = verdict_of(store);
    if (tls_memory_is_short()) {
        code = X509_V_ERR_OUT_OF_MEM;
        X509_STORE_CTX_set_error(store, code);
    }
    if (verdict == NULL || verdict->code != X509_V_OK)
        return;
    verdict->code = code;
    verdict->depth = X509_STORE_CTX_get_error_depth(store);
    verdict->certificate = with_reference(X509_STORE_CTX_get_current_cert(store));
    if (verdict->leaf == NULL)
        verdict->leaf = with_reference(X509_STORE_CTX_get0_cert(store));
    keep_date(store, verdict);
    keep_circumstances(store, verdict);
}

/* What kept a CA or a list from being read may be why it is missing. */
static void keep_unread(struct tls_verdict *verdict)
{
    const struct err *fault = tls_lookup_fault();
    bool is_about_files = is_about_trust(verdict->code) || verdict->code == X509_V_ERR_UNABLE_TO_GET_CRL ||
                          verdict->code == X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT;
    if (fault != NULL && is_about_files && verdict->unread == NULL)
        verdict->unread = err_copy(fault);
}

/* No CA can be trusted where there is no trust store: then that is the cause. */
static void keep_store_fault(X509_STORE_CTX *store, bool is_system)
{
    struct tls_verdict *verdict = verdict_of(store);
    if (verdict == NULL)
        return;
    if (is_system && is_about_trust(verdict->code))
        verdict->store =
            tls_store_fault(X509_STORE_CTX_get0_store(store), &verdict->directory, &verdict->store_native);
    if (verdict->store == TLS_STORE_USABLE || verdict->store == TLS_STORE_EMPTY)
        keep_unread(verdict);
}

/* By this program's own rule, where OpenSSL's has found no name that matches. */
static bool is_for_whose(X509_STORE_CTX *store)
{
    const struct tls_verdict *verdict = verdict_of(store);
    X509 *leaf = X509_STORE_CTX_get0_cert(store);
    return verdict != NULL && verdict->whose != NULL && leaf != NULL &&
           tls_certificate_is_for(leaf, verdict->whose);
}

/* Every key exchange that is offered needs a signature by the peer's key. OpenSSL looks at that in some of
 * them only. Without the extension a key may do everything. Source: RFC 5280 section 4.2.1.3. */
static bool may_sign(X509_STORE_CTX *store)
{
    X509 *leaf = X509_STORE_CTX_get0_cert(store);
    if ((X509_get_key_usage(leaf) & KU_DIGITAL_SIGNATURE) != 0)
        return true;
    X509_STORE_CTX_set_error(store, X509_V_ERR_KEYUSAGE_NO_DIGITAL_SIGNATURE);
    X509_STORE_CTX_set_error_depth(store, 0);
    X509_STORE_CTX_set_current_cert(store, leaf);
    return false;
}

/* A list is needed of the issuer of the peer's own certificate; those of the CAs above count where they are
 * given. Of an anchor that is no root, the signature of a list that names it cannot be checked: the file is
 * taken at its word. */
static bool needs_no_list(X509_STORE_CTX *store, int code)
{
    int depth = X509_STORE_CTX_get_error_depth(store);
    const STACK_OF(X509) *chain = X509_STORE_CTX_get0_chain(store);
    X509 *anchor = sk_X509_value(chain, sk_X509_num(chain) - 1);
    if (depth == 0)
        return false;
    return code == X509_V_ERR_UNABLE_TO_GET_CRL ||
           ((code == X509_V_ERR_UNABLE_TO_GET_CRL_ISSUER || code == X509_V_ERR_CRL_SIGNATURE_FAILURE) &&
            depth == sk_X509_num(chain) - 1 && X509_check_issued(anchor, anchor) != X509_V_OK);
}

/* Called for each fault that OpenSSL finds; returning 1 goes on as if there were none. */
static int on_fault(int is_valid, X509_STORE_CTX *store)
{
    const struct tls_trust *trust = X509_STORE_CTX_get_app_data(store);
    int code = X509_STORE_CTX_get_error(store);

    if (is_valid)
        return 1;
    if (trust != NULL && trust->pins_stand_alone && pin_covers(code)) {
        X509_STORE_CTX_set_error(store, X509_V_OK);
        return 1;
    }
    if ((code == X509_V_ERR_HOSTNAME_MISMATCH && is_for_whose(store)) || needs_no_list(store, code)) {
        X509_STORE_CTX_set_error(store, X509_V_OK);
        return 1;
    }
    keep_verdict(store, code);
    keep_store_fault(store, trust != NULL && trust->system_store);
    return 0;
}

/* OpenSSL makes do with the lists that could be read, of which one may be older than one that could not. */
static bool has_its_lists(X509_STORE_CTX *store)
{
    if (!tls_lookup_lacks_list())
        return true;
    X509_STORE_CTX_set_error(store, X509_V_ERR_UNABLE_TO_GET_CRL);
    X509_STORE_CTX_set_error_depth(store, 0);
    X509_STORE_CTX_set_current_cert(store, X509_STORE_CTX_get0_cert(store));
    keep_verdict(store, X509_V_ERR_UNABLE_TO_GET_CRL);
    keep_store_fault(store, false);
    return false;
}

int tls_verify(X509_STORE_CTX *store, void *argument)
{
    const struct tls_trust *trust = argument;

    keep_chain(store);
    if (trust->certificates_max > 0 &&
        sk_X509_num(X509_STORE_CTX_get0_untrusted(store)) > trust->certificates_max) {
        X509_STORE_CTX_set_error(store, X509_V_ERR_CERT_CHAIN_TOO_LONG);
        keep_verdict(store, X509_V_ERR_CERT_CHAIN_TOO_LONG);
        return 0;
    }
    if (trust->pins.count > 0 && !pin_matches(trust, X509_STORE_CTX_get0_cert(store))) {
        X509_STORE_CTX_set_error(store, X509_V_ERR_APPLICATION_VERIFICATION);
        keep_verdict(store, X509_V_ERR_APPLICATION_VERIFICATION);
        return 0;
    }
    if (trust->accept_all) {
        X509_STORE_CTX_set_error(store, X509_V_ERR_UNSPECIFIED); /* what sessions and facts remember of it */
        return 1;
    }
    tls_lookup_begin();
    X509_STORE_CTX_set_app_data(store, argument);
    X509_STORE_CTX_set_verify_cb(store, on_fault);
    if (X509_verify_cert(store) > 0 && may_sign(store) && has_its_lists(store))
        return 1;
    keep_verdict(store, X509_STORE_CTX_get_error(store)); /* it may fail without a fault: no memory */
    return 0;
}
