#include "ocsp.h"

#ifdef OPENSSL_NO_OCSP /* OpenSSL was built without it */

enum tls_ocsp tls_ocsp_status(SSL *ssl, int64_t *revoked_at)
{
    (void)ssl;
    (void)revoked_at;
    return TLS_OCSP_NONE;
}

int tls_ocsp_request(SSL_CTX *context)
{
    (void)context;
    return 0;
}

#else

#include <openssl/err.h>
#include <openssl/ocsp.h>

#include "certificate.h"
#include "verdict.h"

enum { CLOCKS_DIFFER_S = 5 * 60, ANY_AGE = -1 };

/* Returns: the response for us to free; NULL where none that is whole was sent. */
static OCSP_BASICRESP *response_of(SSL *ssl, bool *was_sent)
{
    const unsigned char *der = NULL;
    long length = SSL_get_tlsext_status_ocsp_resp(ssl, &der);
    *was_sent = length > 0 && der != NULL;
    OCSP_RESPONSE *response = *was_sent ? d2i_OCSP_RESPONSE(NULL, &der, length) : NULL;
    OCSP_BASICRESP *basic = NULL;
    if (response != NULL && OCSP_response_status(response) == OCSP_RESPONSE_STATUS_SUCCESSFUL)
        basic = OCSP_response_get1_basic(response);
    OCSP_RESPONSE_free(response);
    return basic;
}

/* Returns: V_OCSP_CERTSTATUS_… of the certificate; -1 where the response has none that counts. */
static int find_status(OCSP_BASICRESP *basic, X509 *certificate, X509 *issuer, int64_t *revoked_at)
{
    ASN1_GENERALIZEDTIME *revoked = NULL, *from = NULL, *until = NULL;
    int status = -1, why;
    OCSP_CERTID *id = OCSP_cert_to_id(NULL, certificate, issuer);
    bool found = id != NULL &&
                 OCSP_resp_find_status(basic, id, &status, &why, &revoked, &from, &until) == 1 &&
                 OCSP_check_validity(from, until, CLOCKS_DIFFER_S, ANY_AGE) == 1;
    OCSP_CERTID_free(id);
    if (found && revoked != NULL)
        *revoked_at = tls_seconds(revoked);
    return found ? status : -1;
}

enum tls_ocsp tls_ocsp_status(SSL *ssl, int64_t *revoked_at)
{
    bool was_sent;
    int status = -1;
    STACK_OF(X509) *chain = SSL_get0_verified_chain(ssl);

    ERR_set_mark(); /* a response that cannot be used is no failure */
    OCSP_BASICRESP *basic = response_of(ssl, &was_sent);
    if (basic != NULL && sk_X509_num(chain) > 1 &&
        OCSP_basic_verify(basic, chain, SSL_CTX_get_cert_store(SSL_get_SSL_CTX(ssl)), OCSP_PARTIAL_CHAIN) ==
            1)
        status = find_status(basic, sk_X509_value(chain, 0), sk_X509_value(chain, 1), revoked_at);
    OCSP_BASICRESP_free(basic);
    ERR_pop_to_mark();
    if (!was_sent)
        return TLS_OCSP_NONE;
    return status == V_OCSP_CERTSTATUS_GOOD      ? TLS_OCSP_GOOD
           : status == V_OCSP_CERTSTATUS_REVOKED ? TLS_OCSP_REVOKED
                                                 : TLS_OCSP_UNUSABLE;
}

/* Called when the server's first messages are complete, whether it sent a response or not. */
static int on_response(SSL *ssl, void *argument)
{
    struct tls_verdict *verdict = tls_verdict_of(ssl);
    int64_t revoked_at = 0;
    (void)argument;
    if (tls_ocsp_status(ssl, &revoked_at) != TLS_OCSP_REVOKED)
        return 1;
    if (verdict != NULL && verdict->code == X509_V_OK) {
        verdict->code = X509_V_ERR_CERT_REVOKED;
        verdict->since = revoked_at;
    }
    return 0;
}

int tls_ocsp_request(SSL_CTX *context)
{
    return SSL_CTX_set_tlsext_status_type(context, TLSEXT_STATUSTYPE_ocsp) == 1 &&
                   SSL_CTX_set_tlsext_status_cb(context, on_response) == 1
               ? 0
               : -1;
}

#endif
