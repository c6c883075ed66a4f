/* The connections of one worker that have more to do than one turn of its loop is for: which goes on next, so
 * that they hold up neither dialogues nor handshakes. */
#ifndef TCPGREET_SERVER_BUSY_H
#define TCPGREET_SERVER_BUSY_H

#include <stddef.h>
#include <uv.h>

enum { BUSY_PER_TURN = 8 /* of the loop, each for one part of what it sends */ };

/* In its connection. Starts as {0}. */
struct busy {
    struct busy *next, *previous; /* NULL: it does not wait */
};

/* In the order of time. */
struct busy_queue {
    uv_idle_t turn;                     /* runs while any waits */
    void (*proceed)(struct busy *busy); /* after which it may be over, or be requested again */
    struct busy head;
    size_t count;
};

/* Shape: proceed is set. The handle is closed by the loop's owner. Returns: 0, or an error of libuv. */
int busy_init(struct busy_queue *queue, uv_loop_t *loop);

/* proceed is called, once, when it is its turn. Shape: busy does not wait. */
void busy_request(struct busy_queue *queue, struct busy *busy);

/* Nothing calls back for it any more, unless it is requested again. */
void busy_end(struct busy_queue *queue, struct busy *busy);

#endif
