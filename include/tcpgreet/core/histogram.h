/* A log-linear histogram: three significant digits from a nanosecond to a hundred seconds, mergeable exactly.
 */
#ifndef TCPGREET_CORE_HISTOGRAM_H
#define TCPGREET_CORE_HISTOGRAM_H

#include <stddef.h>
#include <stdint.h>

enum {
    HISTOGRAM_LINEAR_BITS = 10, /* 1024 steps an octave: an error below 0.1 % */
    HISTOGRAM_OCTAVES = 27,
    HISTOGRAM_BUCKETS = (HISTOGRAM_OCTAVES + 1) << HISTOGRAM_LINEAR_BITS
};

/* 137 s in ns, a little more than the 100 s that are promised. */
#define HISTOGRAM_MAX_NS ((INT64_C(1) << (HISTOGRAM_LINEAR_BITS + HISTOGRAM_OCTAVES)) - 1)

/* Starts as {0}. Invariant: total is the sum of counts; least_ns and most_ns are of what was recorded, if
 * anything. */
struct histogram {
    uint64_t total;
    int64_t least_ns;
    int64_t most_ns;
    uint64_t counts[HISTOGRAM_BUCKETS];
};

/* Counts one value; below 0 counts as 0, above HISTOGRAM_MAX_NS as that. */
void histogram_record(struct histogram *histogram, int64_t value_ns);

/* Adds the other's counts: the same as having recorded both's values in one. */
void histogram_add(struct histogram *histogram, const struct histogram *other);

/* Adds n values of one bucket, as histogram_bucket returns them. Returns: -1 where there is no such bucket.
 */
int histogram_put(struct histogram *histogram, size_t bucket, uint64_t n);

/* Returns: the value that a share of all values does not exceed: the highest that falls into its bucket,
 * never above the highest recorded; 0 where nothing is recorded. Shape: 0 <= share <= 1. */
int64_t histogram_quantile_ns(const struct histogram *histogram, double share);

/* Returns: the mean, each value counted as the middle of its bucket; 0 where nothing is recorded. */
double histogram_mean_ns(const struct histogram *histogram);

/* The bucket of a value, and the lowest and highest value of a bucket. */
size_t histogram_bucket(int64_t value_ns);
int64_t histogram_bucket_low_ns(size_t bucket);
int64_t histogram_bucket_high_ns(size_t bucket);

#endif
