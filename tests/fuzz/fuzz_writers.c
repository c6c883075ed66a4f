/*
 * Input: the number of a result (tests/support/probe_samples.h), then a text that stands there wherever a
 * peer's may. Every form of the result is written. JSON is read by jansson here; where TCPGREET_FUZZ_WRITTEN
 * names a folder, the forms are written into it, too, for tests/e2e/test_writers.py to read them.
 */
#include "fuzz/fuzz.h"

#ifdef TCPGREET_HAVE_JANSSON
#include <jansson.h>
#endif

#include "probe/report.h"
#include "support/probe_samples.h"
#include "support/probe_spoiled.h"
#include "support/written.h"

enum { TEXT_MAX = 128, PATH_BYTES = 4096 };

static void write_text(const struct probe_result *result, FILE *out)
{
    static const struct probe_style style = {.columns = 80, .utf8 = true, .verbose = true};
    probe_report_text(result, &style, out);
}

static void write_nagios(const struct probe_result *result, FILE *out)
{
    static const struct thresholds thresholds;
    int code = probe_report_nagios(result, &thresholds, out);
    CHECK(code >= PROBE_PLUGIN_OK && code <= PROBE_PLUGIN_UNKNOWN);
}

static const struct form {
    const char *name;
    void (*write)(const struct probe_result *result, FILE *out);
    bool is_one_line;
} forms[] = {{"json", probe_report_json, true},
             {"nagios", write_nagios, true},
             {"prom", probe_report_prometheus, false},
             {"svg", probe_report_plot, false},
             {"text", write_text, false}};

static void check_json(const char *text)
{
#ifdef TCPGREET_HAVE_JANSSON
    json_error_t error;
    json_t *read = json_loads(text, JSON_REJECT_DUPLICATES, &error);
    CHECK(json_is_object(read));
    json_decref(read);
#else
    CHECK(text[0] == '{');
#endif
}

/* Without control characters but the ends of lines. */
static void check_lines(const char *text, bool is_one)
{
    size_t length = strlen(text);
    CHECK(length > 0 && text[length - 1] == '\n');
    CHECK(!is_one || strchr(text, '\n') == text + length - 1);
    for (const char *at = text; *at != '\0'; at++)
        CHECK(((unsigned char)*at >= ' ' && *at != 0x7f) || *at == '\n');
}

static void leave(const char *text, const char *form)
{
    static unsigned number;
    char path[PATH_BYTES];
    const char *folder = getenv("TCPGREET_FUZZ_WRITTEN");
    if (folder == NULL)
        return;
    CHECK(snprintf(path, sizeof path, "%s/%u.%s", folder, number++, form) < PATH_BYTES);
    FILE *file = fopen(path, "w");
    CHECK(file != NULL);
    CHECK(fputs(text, file) >= 0);
    CHECK(fclose(file) == 0);
}

static void check_form(const struct probe_result *result, const struct form *form)
{
    struct written written;
    written_open(&written);
    form->write(result, written.out);
    char *text = written_close(&written);
    check_lines(text, form->is_one_line);
    if (form->write == probe_report_json)
        check_json(text);
    leave(text, form->name);
    free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct probe_result result;

    if (size == 0 || size > TEXT_MAX)
        return 0;
    char *text = fuzz_text(data + 1, size - 1);
    probe_sample_make((enum probe_sample)(data[0] % PROBE_SAMPLES), &result);
    if (text[0] != '\0')
        probe_spoil(&result, text);
    for (size_t i = 0; i < sizeof forms / sizeof forms[0]; i++)
        check_form(&result, &forms[i]);
    probe_result_fini(&result);
    free(text);
    return 0;
}
