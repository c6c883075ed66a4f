#include "result.h"
#include "tcpgreet/bench/bench.h"

#ifndef TCPGREET_HAVE_JANSSON

int bench_merge_available(struct err *err)
{
    return err_set(err, ERR_USAGE, 0, "--bench-merge is not available in this build (it needs jansson)");
}

int bench_result_read(FILE *in, const char *name, struct bench_result *result, struct err *err)
{
    (void)in;
    (void)name;
    *result = (struct bench_result){0};
    return bench_merge_available(err);
}

#else

#include <errno.h>
#include <limits.h>
#include <math.h>
#include <string.h>

#include <jansson.h>

#include "format.h"
#include "tcpgreet/base/escape.h"

enum { KEY_BYTES = 64 };

/* Below a nanosecond divided by BENCH_SLOTS. */
#define MEASURE_LEAST 1e-12

int bench_merge_available(struct err *err)
{
    (void)err;
    return 0;
}

/* An object whose members are read one by one; `taken` counts them, the others are unknown. */
struct members {
    const json_t *object;
    const char *within; /* "" or the path to it, with a dot */
    size_t taken;
    struct err *err;
};

static int reject(struct members *members, const char *key, const char *why)
{
    char shown[KEY_BYTES]; /* an unknown name is untrusted */
    return err_set(members->err, ERR_SYSTEM_FILE, 0, "\"%s%s\" %s", members->within,
                   escape_quoted((struct bytes){key, strlen(key)}, shown, sizeof(shown)), why);
}

static const json_t *take(struct members *members, const char *key)
{
    const json_t *value = json_object_get(members->object, key);
    if (value == NULL)
        reject(members, key, "is missing");
    members->taken++;
    return value;
}

static int take_count(struct members *members, const char *key, uint64_t *count)
{
    const json_t *value = take(members, key);
    if (value == NULL)
        return -1;
    if (!json_is_integer(value) || json_integer_value(value) < 0 ||
        json_integer_value(value) > BENCH_COUNT_MAX)
        return reject(members, key, "is not a count");
    *count = (uint64_t)json_integer_value(value);
    return 0;
}

static int take_number(struct members *members, const char *key, double *number)
{
    const json_t *value = take(members, key);
    if (value == NULL)
        return -1;
    if (!json_is_number(value) || json_number_value(value) < 0)
        return reject(members, key, "is not a number of at least 0");
    *number = json_number_value(value);
    return 0;
}

/* What a bench was asked for or has measured: what is derived from it is finite. */
static int take_measure(struct members *members, const char *key, double *number)
{
    if (take_number(members, key, number))
        return -1;
    if (*number > (double)BENCH_COUNT_MAX || (*number > 0 && *number < MEASURE_LEAST))
        return reject(members, key, "is out of range");
    return 0;
}

static int take_ns(struct members *members, const char *key, int64_t *ns)
{
    double seconds = 0;
    if (take_number(members, key, &seconds))
        return -1;
    if (seconds * NS_PER_S > (double)HISTOGRAM_MAX_NS)
        return reject(members, key, "exceeds the range of the histogram");
    *ns = llround(seconds * NS_PER_S);
    return 0;
}

static int take_bool(struct members *members, const char *key, bool *flag)
{
    const json_t *value = take(members, key);
    if (value == NULL)
        return -1;
    *flag = json_is_true(value);
    return json_is_boolean(value) ? 0 : reject(members, key, "is neither true nor false");
}

static int take_container(struct members *members, const char *key, json_type type, const json_t **value)
{
    *value = take(members, key);
    if (*value == NULL)
        return -1;
    if (json_typeof(*value) != type)
        return reject(members, key, type == JSON_ARRAY ? "is not an array" : "is not an object");
    return 0;
}

static int reject_unknown(struct members *members, const char *const *known, size_t known_count)
{
    const char *key;
    json_t *value;

    if (json_object_size(members->object) == members->taken)
        return 0;
    json_object_foreach((json_t *)members->object, key, value)
    {
        size_t i = 0;
        while (i < known_count && strcmp(known[i], key) != 0)
            i++;
        if (i == known_count)
            return reject(members, key, "is unknown");
    }
    return 0;
}

static int take_text(struct members *members, const char *key, char text[BENCH_TARGET_BYTES])
{
    const json_t *value = take(members, key);
    if (value == NULL)
        return -1;
    if (!json_is_string(value) || strlen(json_string_value(value)) != json_string_length(value) ||
        !bench_is_printable(json_string_value(value)))
        return reject(members, key, "is not a short printable string");
    memcpy(text, json_string_value(value), json_string_length(value) + 1);
    return 0;
}

static int take_proxy(struct members *members, struct bench_result *result)
{
    const json_t *value = json_object_get(members->object, "proxy");
    if (value != NULL && !json_is_null(value))
        return take_text(members, "proxy", result->proxy);
    members->taken += value != NULL; /* results of before this field have none */
    return 0;
}

static int take_failures(struct members *members, struct bench_result *result)
{
    const json_t *object;
    const char *known[ERR_REASON_COUNT];
    size_t known_count = 0;

    if (take_container(members, "failures", JSON_OBJECT, &object))
        return -1;
    struct members counts = {object, "failures.", 0, members->err};
    for (size_t i = ERR_OK + 1; i < ERR_REASON_COUNT; i++) {
        const char *word = known[known_count++] = err_word((enum err_reason)i);
        if (json_object_get(object, word) != NULL && take_count(&counts, word, &result->failures[i]))
            return -1;
    }
    return reject_unknown(&counts, known, known_count);
}

static int take_slots(struct members *members, struct bench_result *result)
{
    const json_t *array;

    if (take_measure(members, "slot_seconds", &result->slot_s) ||
        take_container(members, "slots", JSON_ARRAY, &array))
        return -1;
    if (json_array_size(array) > BENCH_SLOTS)
        return reject(members, "slots", "has too many elements");
    for (size_t i = 0; i < json_array_size(array); i++) {
        const json_t *count = json_array_get(array, i);
        if (!json_is_integer(count) || json_integer_value(count) < 0 ||
            json_integer_value(count) > BENCH_COUNT_MAX)
            return reject(members, "slots", "contains an element that is not a count");
        result->slots[i] = (uint64_t)json_integer_value(count);
    }
    return 0;
}

/* As they are written: each bucket once, in ascending order, none empty. */
static int take_buckets(struct members *members, struct histogram *histogram)
{
    const json_t *array;
    json_int_t last = -1;

    if (take_container(members, "buckets", JSON_ARRAY, &array))
        return -1;
    for (size_t i = 0; i < json_array_size(array); i++) {
        const json_t *pair = json_array_get(array, i);
        const json_t *bucket = json_array_get(pair, 0);
        const json_t *count = json_array_get(pair, 1);
        if (json_array_size(pair) != 2 || !json_is_integer(bucket) || !json_is_integer(count))
            return reject(members, "buckets", "contains an element that is not a [bucket, count] pair");
        if (json_integer_value(bucket) < 0 || json_integer_value(bucket) >= HISTOGRAM_BUCKETS)
            return reject(members, "buckets", "has a bucket out of range");
        if (json_integer_value(bucket) <= last)
            return reject(members, "buckets", "is not in ascending order");
        if (json_integer_value(count) <= 0 ||
            json_integer_value(count) > BENCH_COUNT_MAX - (json_int_t)histogram->total)
            return reject(members, "buckets", "has a count out of range");
        last = json_integer_value(bucket);
        (void)histogram_put(histogram, (size_t)last, (uint64_t)json_integer_value(count));
    }
    return 0;
}

/* The buckets give min and max to the width of a bucket; the members give them to the nanosecond. */
static int take_extremes(struct members *members, struct histogram *histogram)
{
    struct histogram *h = histogram;
    size_t least = histogram_bucket(h->least_ns);
    size_t most = histogram_bucket(h->most_ns);

    if (take_ns(members, "min", &h->least_ns) || take_ns(members, "max", &h->most_ns))
        return -1;
    if (histogram_bucket(h->least_ns) != least || h->least_ns > h->most_ns)
        return reject(members, "min", "is not in the first bucket");
    if (histogram_bucket(h->most_ns) != most)
        return reject(members, "max", "is not in the last bucket");
    return 0;
}

static int take_histogram(struct members *outer, const char *key, const char *within,
                          struct histogram *histogram)
{
    static const char *const known[] = {"count", "buckets", "min", "max",  "mean",
                                        "p50",   "p90",     "p99", "p99.9"};
    const json_t *object;
    uint64_t total = 0;

    if (take_container(outer, key, JSON_OBJECT, &object))
        return -1;
    struct members members = {object, within, 0, outer->err};
    if (take_count(&members, "count", &total) || take_buckets(&members, histogram))
        return -1;
    if (total != histogram->total)
        return reject(&members, "count", "is not the sum of the buckets");
    if (total > 0 && take_extremes(&members, histogram))
        return -1;
    for (size_t i = total > 0 ? 4 : 2; i < sizeof(known) / sizeof(known[0]); i++) {
        const json_t *derived = take(&members, known[i]);
        if (derived == NULL)
            return -1;
        if (total > 0 ? !json_is_number(derived) : !json_is_null(derived))
            return reject(&members, known[i], total > 0 ? "is not a number" : "is not null");
    }
    return reject_unknown(&members, known, sizeof(known) / sizeof(known[0]));
}

static int take_schema(struct members *members)
{
    const json_t *value = json_object_get(members->object, "schema");
    members->taken++;
    if (json_is_string(value) && strcmp(json_string_value(value), BENCH_SCHEMA) == 0)
        return 0;
    return reject(members, "schema", "is not \"" BENCH_SCHEMA "\"");
}

static int take_scalars(struct members *members, struct bench_result *result)
{
    uint64_t runs = 0;
    double derived;

    if (take_text(members, "target", result->target) || take_proxy(members, result) ||
        take_bool(members, "tls", &result->tls) || take_bool(members, "open_loop", &result->open_loop) ||
        take_measure(members, "rate_asked", &result->rate_asked) ||
        take_count(members, "connections_asked", &result->connections_asked) ||
        take_measure(members, "duration_seconds", &result->duration_s) ||
        take_count(members, "runs", &runs) || take_count(members, "names", &result->names) ||
        take_number(members, "names_per_second", &derived) ||
        take_count(members, "connections", &result->connections) ||
        take_count(members, "resumed", &result->resumed) || take_count(members, "late", &result->late))
        return -1;
    if (result->resumed > result->connections)
        return reject(members, "resumed", "exceeds \"connections\"");
    result->runs = (unsigned)runs;
    return runs >= 1 && runs <= INT_MAX ? 0 : reject(members, "runs", "is not a number of runs");
}

static int take_result(const json_t *root, struct bench_result *result, struct err *err)
{
    static const char *const known[] = {"schema",
                                        "target",
                                        "proxy",
                                        "tls",
                                        "open_loop",
                                        "rate_asked",
                                        "connections_asked",
                                        "duration_seconds",
                                        "runs",
                                        "names_per_second",
                                        "connections",
                                        "resumed",
                                        "late",
                                        "failures",
                                        "slot_seconds",
                                        "slots",
                                        "answers",
                                        "connects",
                                        "names"};
    struct members members = {root, "", 0, err};

    if (!json_is_object(root))
        return err_set(err, ERR_SYSTEM_FILE, 0, "not a JSON object");
    if (take_schema(&members) || take_scalars(&members, result) || take_failures(&members, result) ||
        take_slots(&members, result) || take_histogram(&members, "answers", "answers.", &result->answers) ||
        take_histogram(&members, "connects", "connects.", &result->connects))
        return -1;
    return reject_unknown(&members, known, sizeof(known) / sizeof(known[0]));
}

static int load(FILE *in, json_t **root, struct err *err)
{
    json_error_t why;

    errno = 0;
    *root = json_loadf(in, JSON_REJECT_DUPLICATES, &why);
    if (ferror(in))
        return err_set(err, ERR_SYSTEM_FILE, errno, "cannot be read: %s", strerror(errno));
    if (*root == NULL && json_error_code(&why) == json_error_out_of_memory)
        return err_set(err, ERR_INTERNAL, 0, "not enough memory");
    if (*root == NULL)
        return err_set(err, ERR_SYSTEM_FILE, 0, "not one JSON object: line %d, column %d", why.line,
                       why.column);
    return 0;
}

int bench_result_read(FILE *in, const char *name, struct bench_result *result, struct err *err)
{
    struct err why = {0};
    json_t *root = NULL;

    memset(result, 0, sizeof(*result));
    int status = load(in, &root, &why);
    if (status == 0)
        status = take_result(root, result, &why);
    json_decref(root);
    if (status == 0)
        return 0;
    memset(result, 0, sizeof(*result));
    return err_set_from(err, &why, "%s: not a JSON result of --bench: %s", name, why.text);
}

#endif
