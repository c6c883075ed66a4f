#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tcpgreet/bench_result.h"

enum { INPUT_MAX = 256 * 1024 };

static void require(int truth)
{
    if (!truth)
        abort();
}

static int read_text(const char *text, size_t length, struct bench_result *result, struct err *err)
{
    FILE *in = fmemopen((void *)(uintptr_t)text, length, "r");
    require(in != NULL);
    int status = bench_result_read(in, "a.json", result, err);
    require(fclose(in) == 0);
    return status;
}

/* What was read is written, and read again, as the same; it can be drawn and added up. */
static void check_accepted(const struct bench_result *result)
{
    static struct bench_result again;
    struct err err = {0};
    char *text = NULL;
    size_t length = 0;
    FILE *out = open_memstream(&text, &length);

    require(out != NULL);
    bench_result_json(result, out);
    require(fclose(out) == 0);
    require(read_text(text, length, &again, &err) == 0);
    require(memcmp(&again, result, sizeof(again)) == 0);
    free(text);
    out = open_memstream(&text, &length);
    require(out != NULL);
    bench_result_add(&again, result);
    bench_result_text(&again, out);
    bench_result_prometheus(&again, out);
    bench_result_plot(&again, out);
    require(fclose(out) == 0 && length > 0);
    free(text);
}

static void check_refused(const struct bench_result *result, const struct err *err)
{
    static const struct bench_result nothing;

    require(memcmp(result, &nothing, sizeof(nothing)) == 0);
#ifdef TCPGREET_HAVE_JANSSON
    require(err->reason == ERR_SYSTEM_FILE);
#else
    require(err->reason == ERR_USAGE);
#endif
    require(strncmp(err->text, "a.json: ", strlen("a.json: ")) == 0);
    for (const char *at = err->text; *at != '\0'; at++)
        require((unsigned char)*at >= 0x20 && *at != 0x7f);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct bench_result result;
    struct err err = {0};

    if (size == 0 || size > INPUT_MAX)
        return 0;
    if (read_text((const char *)data, size, &result, &err) == 0)
        check_accepted(&result);
    else
        check_refused(&result, &err);
    return 0;
}
