/* Where a client goes on when an address connects and then is of no use: silent, closed or reset in the TLS
 * handshake or as a proxy. What a server answers, a certificate, an alert, or a proxy's refusal, is its
 * answer: then no other is tried. */
#ifndef TCPGREET_CLIENT_NEXT_ADDRESS_H
#define TCPGREET_CLIENT_NEXT_ADDRESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tcpgreet/base/err.h"
#include "tcpgreet/core/endpoint.h"
#include "tcpgreet/link/dialer.h"

enum { NEXT_ADDRESS_TURNS = 4 }; /* each has a quarter of --connect-timeout at least */

/* Starts as {.timeout_ms = --connect-timeout, .start_ns = uv_hrtime()}. */
struct next_address {
    int64_t timeout_ms;
    uint64_t start_ns;
    struct endpoint peer;                      /* the address that is connected to */
    struct endpoint others[DIALER_OTHERS_MAX]; /* not tried yet */
    size_t other_count;
    bool is_partial; /* there may be more of them */
    struct endpoint failed[NEXT_ADDRESS_TURNS];
    size_t failed_count;
    struct err failure; /* of these, one after another */
};

/* Returns: what is left of the time; 0 or less: nothing. */
int64_t next_address_left_ms(const struct next_address *next);

/* Records which address has connected, and which others there are. */
void next_address_connected(struct next_address *next, const struct dialer_facts *facts);

/* Returns: the time for the handshake with it, so that each of the others has its share. */
int64_t next_address_handshake_ms(const struct next_address *next);

/* Records that the handshake has failed. Returns: whether another address is to be tried, without those that
 * have failed. */
bool next_address_is_due(struct next_address *next, const struct err *why);

/* Writes the failure that the run ends with: what failed before, each address with its reason, why, and those
 * that were not tried. Shape: is_dialing: why is about the others, of resolve-not-found or ERR_OK if there
 * was none; else about peer. */
void next_address_fail(const struct next_address *next, bool is_dialing, const struct err *why,
                       struct err *err);

#endif
