/* The ticks of a plot's axes. */
#ifndef TCPGREET_FORMAT_AXIS_H
#define TCPGREET_FORMAT_AXIS_H

#include <stdbool.h>
#include <stddef.h>

enum { SVG_TICKS = 32 };

struct svg_axis {
    double low;
    double high;
    size_t count;
    double ticks[SVG_TICKS];
};

/* From least to most, and on to the next of 1, 2, 5, 10, ...; ticks there. Shape: 0 < least <= most. */
void svg_axis_log(struct svg_axis *axis, double least, double most);

/* From 0 to most, or with to_tick to the tick from there on; at most so many steps, each 1, 2 or 5 times a
 * power of ten wide. Shape: most > 0, 1 <= steps < SVG_TICKS. */
void svg_axis_linear(struct svg_axis *axis, double most, size_t steps, bool to_tick);

#endif
