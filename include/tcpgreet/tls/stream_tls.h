/* The TLS stream: TLS over any lower stream, with the same five results above as below. */
#ifndef TCPGREET_TLS_STREAM_TLS_H
#define TCPGREET_TLS_STREAM_TLS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tcpgreet/core/stream.h"

enum {
    STREAM_TLS_FLOOD_MAX =
        32, /* handshake messages of one handshake, or after it without data between them */
    STREAM_TLS_FIRST_BYTES = 64, /* kept of what a peer sends first, to quote one that does not use TLS */
    STREAM_TLS_CHAIN_MAX = 8     /* certificates of a chain that are reported */
};

/* What is known once the handshake is done; certificate fields also where it was refused. Texts are
 * printable. */
struct stream_tls_facts {
    char version[16]; /* "TLSv1.3" */
    char cipher[64];
    char group[32]; /* of the key exchange; "" where the library does not report it */
    char alpn[64];  /* "" for none */
    char sni[256];  /* the name in the ClientHello; "" for none */
    bool resumed;
    char subject[256]; /* of the peer's certificate: its names; "" where it sent none */
    bool nameless;     /* it has no names: subject is its own, which no client accepts */
    char issuer[256];
    int64_t not_after;        /* seconds since 1970; 0 where there is no certificate */
    char expires_first[160];  /* the CA certificate of the verified chain that expires first; "" where the
                                 peer's own does, and where nothing above it is known */
    int64_t expires_first_at; /* when */
    char ocsp[16]; /* the stapled response: "good", "revoked" or "unusable"; "" where none was sent */
    char pin[65];  /* SHA-256 of its public key, hexadecimal */
    int64_t not_before;
    char key[32];                          /* "EC P-256", "RSA 2048" */
    char chain[STREAM_TLS_CHAIN_MAX][160]; /* subjects as sent, the peer's own first */
    size_t chain_count;                    /* sent; more than STREAM_TLS_CHAIN_MAX are counted only */
    bool trusted;       /* chain, name, dates and purpose are verified, or a pin has replaced the first two */
    char distrust[160]; /* why not; "" where trusted, or where there is no certificate */
};

/* Returns: false where no layer of stream is TLS, or nothing is known yet: neither is its handshake done nor
 * has the peer sent a certificate. Without the former, version is "". */
bool stream_tls_facts(const struct stream *stream, struct stream_tls_facts *facts);

/* Returns: whether a layer of stream is TLS, its handshake done, and a session resumed. */
bool stream_tls_resumed(const struct stream *stream);

/* Returns: whether a layer of stream is TLS 1.3, its handshake done. */
bool stream_tls_is_1_3(const struct stream *stream);

/* Returns: whether stream is TLS and its server has requested a client certificate. In TLS 1.3 the handshake
 * is done before the server has judged it: a refusal comes as an alert, with a later read. */
bool stream_tls_is_certificate_requested(const struct stream *stream);

/* Returns: how long the peer took to answer this side's last flight of the handshake but for the final one,
 * ns: a round trip, its work, and what else keeps it busy. 0: stream is not TLS, or nothing was answered. */
uint64_t stream_tls_answered_ns(const struct stream *stream);

#endif
