/* The TLS stream: TLS over any lower stream, with the same five words above as below. */
#ifndef TCPGREET_STREAM_TLS_H
#define TCPGREET_STREAM_TLS_H

#include <stdbool.h>
#include <stdint.h>

#include "tcpgreet/stream.h"

enum {
    STREAM_TLS_FLOOD_MAX =
        32, /* handshake messages after the handshake, without a byte of data between them */
    STREAM_TLS_FIRST_BYTES = 32 /* kept of what a peer says first, to name one that does not speak TLS */
};

/* What is known once the handshake is done. Texts are printable. */
struct stream_tls_facts {
    char version[16]; /* "TLSv1.3" */
    char cipher[64];
    char group[32]; /* of the key exchange; "" where the library does not tell */
    char alpn[64];  /* "" for none */
    bool resumed;
    char subject[256]; /* of the peer's certificate: its names; "" where it sent none */
    char issuer[256];
    int64_t not_after; /* seconds since 1970; 0 where there is no certificate */
    char pin[65];      /* SHA-256 of its public key, hexadecimal */
};

/* Returns: false where stream is not TLS or its handshake is not done. */
bool stream_tls_facts(const struct stream *stream, struct stream_tls_facts *facts);

/* Returns: whether stream is TLS, its handshake done, and a session resumed. */
bool stream_tls_resumed(const struct stream *stream);

#endif
