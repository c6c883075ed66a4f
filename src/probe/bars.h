/* The waterfall of a probe: its rows, and where their bars stand on the time axis. Shared by text and
 * picture. */
#ifndef TCPGREET_PROBE_BARS_H
#define TCPGREET_PROBE_BARS_H

#include "result.h"

/* One row: an address, or a family whose name service gave none. */
struct probe_row {
    char label[ENDPOINT_TEXT_BYTES];     /* "[::1]:6000", "IPv6" */
    const struct probe_address *address; /* NULL for a family */
    struct probe_span spans[PROBE_PHASES];
    enum probe_phase last;
    enum err_reason reason;
    bool counts;    /* towards the verdict */
    int64_t end_ns; /* of the last phase, from the start of the round */
};

/* Invariant: 0 <= begin < end, and end is not above the next bar's begin. */
struct probe_bar {
    enum probe_phase phase;
    bool failed;
    int begin, end; /* cells, or pixels */
};

struct probe_bars {
    size_t count;
    struct probe_bar bars[PROBE_PHASES];
};

/* Returns: how many rows there are. A family has one where its name service failed, or where there is no
 * address at all. */
size_t probe_row_count(const struct probe_result *result);

/* Shape: index < probe_row_count(result). */
void probe_row_fill(const struct probe_result *result, size_t index, struct probe_row *row);

/* Returns: where the last bar of all ends; at least 1. */
int64_t probe_axis_ns(const struct probe_result *result);

/* Returns: whether any row has a bar of this phase. */
bool probe_has_phase(const struct probe_result *result, enum probe_phase phase);

/* Bars to scale, from 0 to length for 0 to axis_ns; each with a minimum length, at the cost of its
 * neighbours. Shape: length >= least * PROBE_PHASES. */
void probe_bars_lay(const struct probe_row *row, int64_t axis_ns, int length, int least,
                    struct probe_bars *bars);

#endif
