/* A stream that passes everything to the one below it, and injects the requested faults. */
#ifndef TCPGREET_TEST_STREAM_FAULT_H
#define TCPGREET_TEST_STREAM_FAULT_H

#include <stdbool.h>

#include "tcpgreet/core/stream.h"

/* May be changed between two operations. Operations are counted from 1: handshake, read, write, shutdown. */
struct stream_faults {
    size_t piece;        /* an operation moves at most so many bytes; 0: any */
    unsigned want_every; /* each so manyth operation only wants, and the next of its kind does not; 0: none */
    bool contrary;       /* a read wants to write then; else each wants what it is */
    bool mute;           /* the handshake never ends */
    bool stuck;          /* the shutdown never ends */
    bool hoard;          /* a read takes all that is below into memory of its own, as TLS may */
    unsigned fail_at;    /* this operation and all after it fail; 0: none */
    bool exhausted;      /* the first of them does for want of memory */
    unsigned end_at;     /* from this operation on a read returns the peer's end; 0: none */
    /* Counted: */
    unsigned operations;
    unsigned frees;
};

/* Takes: lower. Borrows: faults, until the stream is freed. Aborts where memory is exhausted. */
struct stream *stream_fault_new(struct stream *lower, struct stream_faults *faults);

#endif
