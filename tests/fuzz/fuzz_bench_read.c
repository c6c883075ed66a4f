#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/result.h"
#include "fuzz/fuzz.h"

enum { INPUT_MAX = 256 * 1024 };

static int read_text(char *text, size_t length, struct bench_result *result, struct err *err)
{
    FILE *in = fmemopen(text, length, "r");
    CHECK(in != NULL);
    int status = bench_result_read(in, "a.json", result, err);
    CHECK(fclose(in) == 0);
    return status;
}

/* Returns: all that a face writes, to be freed. */
static char *face(void (*write)(const struct bench_result *, FILE *), const struct bench_result *result)
{
    char *text = NULL;
    size_t length = 0;
    FILE *out = open_memstream(&text, &length);
    CHECK(out != NULL);
    write(result, out);
    CHECK(fclose(out) == 0 && length > 0 && strlen(text) == length);
    return text;
}

/* What was read is written, and read again, as the same; it can be added up and drawn. */
static void check_accepted(const struct bench_result *result)
{
    static struct bench_result again;
    struct err err = {0};
    char *text = face(bench_result_json, result);

    CHECK(read_text(text, strlen(text), &again, &err) == 0);
    char *second = face(bench_result_json, &again);
    CHECK(strcmp(second, text) == 0);
    free(second);
    free(text);
    bench_result_add(&again, result);
    if (bench_result_fits(&again)) { /* a sum can be read, too */
        static struct bench_result sum;
        text = face(bench_result_json, &again);
        CHECK(read_text(text, strlen(text), &sum, &err) == 0);
        free(text);
    }
    free(face(bench_result_text, &again));
    free(face(bench_result_prometheus, &again));
    free(face(bench_result_plot, &again));
}

static void check_refused(const struct bench_result *result, const struct err *err)
{
    static const struct bench_result nothing;
    char *text = face(bench_result_json, result);
    char *empty = face(bench_result_json, &nothing);

    CHECK(strcmp(text, empty) == 0);
    free(empty);
    free(text);
#ifdef TCPGREET_HAVE_JANSSON
    CHECK(err->reason == ERR_SYSTEM_FILE);
    CHECK(strncmp(err->text, "a.json: ", strlen("a.json: ")) == 0);
#else
    CHECK(err->reason == ERR_USAGE);
#endif
    fuzz_check_printable(err->text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct bench_result result;
    struct err err = {0};

    if (size == 0 || size > INPUT_MAX)
        return 0;
    char *text = malloc(size);
    if (text == NULL)
        return 0;
    memcpy(text, data, size);
    if (read_text(text, size, &result, &err) == 0)
        check_accepted(&result);
    else
        check_refused(&result, &err);
    free(text);
    return 0;
}
