#include "tcpgreet/format/axis.h"

#include <math.h>

/* The n-th of 1, 2, 5, 10, 20, ..., n below 0 for what is below 1. */
static double one_two_five(int n)
{
    static const double digits[] = {1, 2, 5};
    int decade = n >= 0 ? n / 3 : (n - 2) / 3;
    return digits[(unsigned)(n - 3 * decade) % 3] * pow(10, decade);
}

/* The index of the last such number that is not above value. */
static int floor_125(double value)
{
    int n = 3 * (int)floor(log10(value)) - 1;
    while (one_two_five(n + 1) <= value * (1 + 1e-9))
        n++;
    return n;
}

/* At least two steps apart, so that a single value has a place between two lines. */
void svg_axis_log(struct svg_axis *axis, double least, double most)
{
    int first = floor_125(least);
    int last = floor_125(most);

    if (one_two_five(last) < most * (1 - 1e-9))
        last++;
    if (last - first < 2)
        first -= one_two_five(first) < least ? 0 : 1;
    if (last - first < 2)
        last++;
    int step = last - first > 9 ? 3 : 1; /* decades alone where there are many */
    axis->low = one_two_five(first);
    axis->high = one_two_five(last);
    axis->count = 0;
    for (int n = first; n <= last && axis->count < SVG_TICKS; n++)
        if (step == 1 || n % step == 0)
            axis->ticks[axis->count++] = one_two_five(n);
}

void svg_axis_linear(struct svg_axis *axis, double most, size_t steps, bool to_tick)
{
    int n = floor_125(most / (double)steps);
    while (one_two_five(n) * (double)steps < most * (1 - 1e-9))
        n++;
    double step = one_two_five(n);
    size_t whole = (size_t)floor(most / step * (1 + 1e-9));

    if (to_tick && (double)whole * step < most * (1 - 1e-9))
        whole++;
    axis->low = 0;
    axis->high = to_tick ? (double)whole * step : most;
    axis->count = 0;
    for (size_t i = 0; i <= whole && axis->count < SVG_TICKS; i++)
        axis->ticks[axis->count++] = (double)i * step;
}
