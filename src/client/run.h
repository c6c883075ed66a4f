/* What every use of --connect shares: the loop, signals, --timeout, the output, and one connection, perhaps
 * to the next address. */
#ifndef TCPGREET_CLIENT_RUN_H
#define TCPGREET_CLIENT_RUN_H

#include <stdbool.h>
#include <stddef.h>
#include <uv.h>

#include "display.h"
#include "next_address.h"
#include "tcpgreet/base/err.h"
#include "tcpgreet/client/client.h"
#include "tcpgreet/core/dialogue.h"
#include "tcpgreet/link/conn.h"
#include "tcpgreet/link/dialer.h"
#include "tcpgreet/os/output.h"
#include "tcpgreet/os/signals.h"

struct run;

/* What is exchanged, from where it is read, and what its end means. NULL where it is not needed. */
struct run_use {
    size_t size; /* of the struct that begins with the struct run */

    /* Opens what is sent. Returns: 0, -1 with err. */
    int (*open)(struct run *run, struct err *err);

    /* Closes it, also where it was not opened; the handles that this closes are gone once the loop has run
     * again. May set the run's err where that is ERR_OK. */
    void (*close)(struct run *run);

    /* Makes the dialogue of a connection, of each address that is tried. Returns: the dialogue. */
    struct dialogue *(*begin)(struct run *run);

    /* Bytes of the peer are on their way to the output. */
    void (*received)(struct run *run, struct bytes bytes);

    /* The dialogue has become DIALOGUE_READY. */
    void (*ready)(struct run *run);

    /* The connection is closed. Shape: err NULL: the dialogue is over as intended; else why, and the run's
     * err is to be set. */
    void (*done)(struct run *run, const struct err *err);

    /* --timeout expired: sets the run's err. Shape: in the dialogue, or is_busy. */
    void (*expire)(struct run *run);

    /* Cancels what is_busy stands for. */
    void (*cancel)(struct run *run);
};

/* First member of each use's struct. Invariant: at most one of dialer and in_dialogue. */
struct run {
    const struct run_use *use;
    const struct client_config *config;
    uv_loop_t loop;
    uv_signal_t signals[SIGNALS_OF_END];
    uv_timer_t limit; /* --timeout */
    struct output *output;
    struct display display;
    struct dialer *dialer;
    struct next_address next;
    struct tls_client *tls; /* NULL: plain */
    struct starttls_config starttls;
    struct proxy_route route; /* through the proxy, if there is one */
    struct conn_shared *shared;
    struct conn conn;
    struct err *err;   /* the caller's; what the run ends with */
    uint64_t begin_ns; /* of the connection */
    int64_t waited_ns; /* that it took, once it has ended */
    bool in_dialogue;  /* conn is started and not done */
    bool is_up;        /* the stream's handshake is done */
    bool is_paused;    /* until the output has room */
    bool is_busy;      /* the use has something under way beside the connection */
    bool is_cut;       /* by a signal or --timeout: the output is not waited for */
};

/* Runs it to its end. Returns: 0, or -1 with err. Errors: as client_run. */
int run_all(const struct run_use *use, const struct client_config *config, struct err *err);

/* To be called whenever something that is_busy stands for has ended. */
void run_stop_if_done(struct run *run);

/* Returns: the route through the proxy; NULL: there is none. */
const struct proxy_route *run_proxy(const struct run *run);

/* For expire: records that --timeout expired, by what it interrupted. Returns: -1. */
int run_set_expired(struct run *run, enum err_reason reason, const char *activity);

#endif
