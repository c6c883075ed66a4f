/* Conns on a loop in virtual time: one against another, or one against a bare socket. */
#ifndef TCPGREET_TEST_MEETING_H
#define TCPGREET_TEST_MEETING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

#include "support/stream_fault.h"
#include "tcpgreet/base/buf.h"
#include "tcpgreet/core/pipe.h"
#include "tcpgreet/core/session.h"
#include "tcpgreet/core/volume.h"
#include "tcpgreet/link/conn.h"

#define MEETING_QUESTION "Server: What's your name?"
#define MEETING_WELCOME "Server: Welcome!\n" MEETING_QUESTION
#define MEETING_HELLO(name) "Server: Hello " name "!\n" MEETING_QUESTION
#define MEETING_BYE "Server: Good bye!\n"

enum { MEETING_LONG_MS = 1000 * 1000 }; /* longer than any deadline */

struct meeting;

enum side_role { SIDE_SERVER, SIDE_CLIENT, SIDE_REFUSAL, SIDE_VOLUME, SIDE_PIPE };

enum {
    MEETING_VOLUME_BYTES = 1 << 20,
    MEETING_ANSWER_MS = 10 * 1000,
    MEETING_LINGER_MS = 500,
    MEETING_LEAST_RATE = 64
};

/* One conn, how its stream is to behave, and what came of it. */
struct side {
    struct stream_faults faults; /* set before the start */
    const struct bytes *names;   /* client: sent when ready, then exit; NULL: the test sends. SIDE_PIPE: sent
                                    as they are, then this side ends */
    size_t name_count;
    bool deaf;                        /* no `noticed` is asked for */
    bool regulated;                   /* it goes on when meeting_give_turn is called */
    struct err abort_up, abort_ready; /* where set, what up or ready aborts with */

    struct conn conn;
    struct session session;
    struct volume volume; /* SIDE_VOLUME's, which is no session */
    struct pipe pipe;     /* SIDE_PIPE's, likewise */
    struct meeting *meeting;
    unsigned done, up, noticed, ready;
    bool is_busy;    /* regulated: it waits for its turn */
    size_t consumed; /* by the dialogue */
    size_t sent;
    bool starting;
    int64_t done_ms, noticed_ms;
    struct buf received;
    struct err err;
    bool peer_sent;
};

struct meeting {
    uv_loop_t loop;
    uv_timer_t limit;
    struct session_policy policy;
    struct conn_shared shared;
    struct side server, client;
    int peer; /* the socket beyond a single side, -1 */
};

/* cmocka's: *state becomes a meeting, and its end checks what holds for every conn: done was called once if
 * it was started and never from inside the start, its stream is freed once, no handle is left. */
int meeting_set_up(void **state);
int meeting_tear_down(void **state);

/* The same for one more meeting within a test. Skips where the clock cannot be taken over. */
struct meeting *meeting_new(void);
void meeting_free(struct meeting *meeting);

/* Starts the server's side and the client's on a socketpair. */
void meeting_start(struct meeting *meeting);

/* The same with a volume as the client. */
void meeting_start_volume(struct meeting *meeting);

/* Starts one side, whose peer is the bare socket. */
void meeting_start_alone(struct meeting *meeting, struct side *side, enum side_role role);

/* A client sends a name, if it is its turn. */
void meeting_send(struct side *side, struct bytes name);

/* Starts one side on any stream. Takes: stream. Returns: as conn_start. */
int meeting_start_on(struct meeting *meeting, struct side *side, enum side_role role, struct stream *stream,
                     struct err *err);

/* Runs the loop until nothing is left, at most ms of virtual time. */
void meeting_run(struct meeting *meeting, int64_t ms);

/* Runs the loop until nothing more happens without the clock moving; then it has moved by 1 ms. */
void meeting_settle(struct meeting *meeting);

/* Shape: side is busy. */
void meeting_give_turn(struct side *side);

/* Sends on the bare socket, as much as possible. Returns: how much. */
size_t meeting_peer_send(struct meeting *meeting, struct bytes bytes);

/* Appends all it has received, at most `limit` bytes. Returns: whether the other side has ended. */
bool meeting_peer_receive(struct meeting *meeting, struct buf *received, size_t limit);

/* Fails unless it receives exactly this now, after settling. */
void meeting_peer_expect(struct meeting *meeting, struct bytes words);

/* It ends its side; it is gone. */
void meeting_peer_end(struct meeting *meeting);
void meeting_peer_close(struct meeting *meeting);

#endif
