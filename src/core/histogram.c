#include "tcpgreet/core/histogram.h"

#define STEPS ((size_t)1 << HISTOGRAM_LINEAR_BITS)

/* The first two octaves are linear, value by value; each further one has as many steps, twice as wide. */
size_t histogram_bucket(int64_t value_ns)
{
    uint64_t value = value_ns < 0                  ? 0
                     : value_ns > HISTOGRAM_MAX_NS ? (uint64_t)HISTOGRAM_MAX_NS
                                                   : (uint64_t)value_ns;
    unsigned top = 63U - (unsigned)__builtin_clzll(value | (STEPS - 1));
    unsigned octave = top + 1 - HISTOGRAM_LINEAR_BITS; /* 0: below STEPS */
    unsigned shift = octave > 0 ? octave - 1 : 0;
    return octave == 0 ? (size_t)value : (size_t)octave * STEPS + (size_t)(value >> shift) - STEPS;
}

static unsigned shift_of(size_t bucket)
{
    size_t octave = bucket / STEPS;
    return octave > 1 ? (unsigned)octave - 1 : 0;
}

int64_t histogram_bucket_low_ns(size_t bucket)
{
    size_t octave = bucket / STEPS;
    size_t step = octave > 0 ? bucket % STEPS + STEPS : bucket;
    return (int64_t)step << shift_of(bucket);
}

int64_t histogram_bucket_high_ns(size_t bucket)
{
    return histogram_bucket_low_ns(bucket) + (INT64_C(1) << shift_of(bucket)) - 1;
}

static void note(struct histogram *histogram, int64_t least_ns, int64_t most_ns, uint64_t n)
{
    if (histogram->total == 0 || least_ns < histogram->least_ns)
        histogram->least_ns = least_ns;
    if (histogram->total == 0 || most_ns > histogram->most_ns)
        histogram->most_ns = most_ns;
    histogram->total += n;
}

void histogram_record(struct histogram *histogram, int64_t value_ns)
{
    size_t bucket = histogram_bucket(value_ns);
    int64_t value = value_ns < 0 ? 0 : value_ns > HISTOGRAM_MAX_NS ? HISTOGRAM_MAX_NS : value_ns;
    note(histogram, value, value, 1);
    histogram->counts[bucket]++;
}

void histogram_add(struct histogram *histogram, const struct histogram *other)
{
    if (other->total == 0)
        return;
    note(histogram, other->least_ns, other->most_ns, other->total);
    for (size_t i = 0; i < HISTOGRAM_BUCKETS; i++)
        histogram->counts[i] += other->counts[i];
}

int histogram_put(struct histogram *histogram, size_t bucket, uint64_t n)
{
    if (bucket >= HISTOGRAM_BUCKETS)
        return -1;
    if (n == 0)
        return 0;
    note(histogram, histogram_bucket_low_ns(bucket), histogram_bucket_high_ns(bucket), n);
    histogram->counts[bucket] += n;
    return 0;
}

int64_t histogram_quantile_ns(const struct histogram *histogram, double share)
{
    double exact = share * (double)histogram->total * (1 - 1e-12); /* 0.07 * 100 is no more than 7 */
    uint64_t rank = (uint64_t)exact;
    uint64_t seen = 0;

    rank += (double)rank < exact;
    rank = rank < 1 ? 1 : rank;
    for (size_t i = 0; i < HISTOGRAM_BUCKETS; i++) {
        seen += histogram->counts[i];
        if (seen >= rank) {
            int64_t high = histogram_bucket_high_ns(i);
            return high < histogram->most_ns ? high : histogram->most_ns;
        }
    }
    return histogram->most_ns;
}

double histogram_mean_ns(const struct histogram *histogram)
{
    double sum = 0;
    for (size_t i = 0; i < HISTOGRAM_BUCKETS; i++)
        if (histogram->counts[i] > 0)
            sum += (double)histogram->counts[i] *
                   ((double)histogram_bucket_low_ns(i) + (double)histogram_bucket_high_ns(i)) / 2;
    return histogram->total > 0 ? sum / (double)histogram->total : 0;
}
