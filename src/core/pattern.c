#include "pattern.h"

#ifdef TCPGREET_HAVE_PCRE2

#define PCRE2_CODE_UNIT_WIDTH 8

#include <pcre2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    STEPS_MAX = 500 * 1000,  /* of one start: some 10 ms; .* over 64 KiB takes 64 k of them */
    HEAP_KIB_MAX = 32 * 1024 /* what (?:.|\n)* needs for 64 KiB, twice */
};

struct pattern {
    pcre2_code *code;
    pcre2_match_context *limits;
    bool is_resumable;  /* a search may begin behind starts that have failed */
    bool has_line_ends; /* CR or LF stand in it */
};

/* ^ behind the last line end, too: else what follows would change what it matched. */
static pcre2_code *compile(const char *text, struct pattern_fault *fault)
{
    const uint32_t options = PCRE2_MULTILINE | PCRE2_ALT_CIRCUMFLEX | PCRE2_NEVER_UTF | PCRE2_NEVER_UCP;
    pcre2_compile_context *context = pcre2_compile_context_create(NULL);
    int code = 0;

    *fault = (struct pattern_fault){.exhausted = true, .words = "not enough memory"};
    if (context == NULL)
        return NULL;
    pcre2_set_newline(context, PCRE2_NEWLINE_ANYCRLF);
    pcre2_code *compiled =
        pcre2_compile((PCRE2_SPTR)text, PCRE2_ZERO_TERMINATED, options, &code, &fault->offset, context);
    fault->exhausted = compiled == NULL && code == PCRE2_ERROR_HEAP_FAILED;
    if (compiled == NULL)
        (void)pcre2_get_error_message(code, (PCRE2_UCHAR *)fault->words, sizeof fault->words);
    pcre2_compile_context_free(context);
    return compiled;
}

struct pattern *pattern_new(const char *text, struct pattern_fault *fault)
{
    struct pattern *pattern = calloc(1, sizeof *pattern);
    uint32_t has_line_ends = 0;

    if (pattern != NULL)
        pattern->code = compile(text, fault);
    if (pattern != NULL && pattern->code != NULL)
        pattern->limits = pcre2_match_context_create(NULL);
    if (pattern == NULL || pattern->limits == NULL) {
        if (pattern == NULL || pattern->code != NULL)
            *fault = (struct pattern_fault){.exhausted = true, .words = "not enough memory"};
        pattern_free(pattern);
        return NULL;
    }
    pcre2_set_match_limit(pattern->limits, STEPS_MAX);
    pcre2_set_depth_limit(pattern->limits, STEPS_MAX);
    pcre2_set_heap_limit(pattern->limits, HEAP_KIB_MAX);
    (void)pcre2_pattern_info(pattern->code, PCRE2_INFO_HASCRORLF, &has_line_ends);
    pattern->has_line_ends = has_line_ends != 0;
    pattern->is_resumable = strstr(text, "\\G") == NULL; /* it matches where a search begins */
    return pattern;
}

void pattern_free(struct pattern *pattern)
{
    if (pattern == NULL)
        return;
    pcre2_match_context_free(pattern->limits);
    pcre2_code_free(pattern->code);
    free(pattern);
}

/* Between a CR and its LF no match begins, unless the pattern has them: PCRE2 does so where it comes from the
 * left. */
static size_t start_of(const struct pattern *pattern, struct bytes bytes, size_t from)
{
    bool is_between =
        from > 0 && from < bytes.length && bytes.data[from - 1] == '\r' && bytes.data[from] == '\n';
    return is_between && !pattern->has_line_ends ? from + 1 : from;
}

static enum pattern_result result_of(int found)
{
    if (found >= 0)
        return PATTERN_MATCH;
    if (found == PCRE2_ERROR_PARTIAL)
        return PATTERN_OPEN;
    if (found == PCRE2_ERROR_NOMATCH)
        return PATTERN_NONE;
    return found == PCRE2_ERROR_NOMEMORY ? PATTERN_EXHAUSTED : PATTERN_COSTLY;
}

enum pattern_result pattern_search(const struct pattern *pattern, struct bytes bytes, size_t *from,
                                   bool is_all, struct pattern_span *span)
{
    pcre2_match_data *data = pcre2_match_data_create(1, NULL);
    PCRE2_SPTR subject = (PCRE2_SPTR)(bytes.length > 0 ? bytes.data : "");
    uint32_t options = is_all ? 0 : PCRE2_PARTIAL_HARD;

    if (data == NULL)
        return PATTERN_EXHAUSTED;
    int found = pcre2_match(pattern->code, subject, bytes.length, start_of(pattern, bytes, *from), options,
                            data, pattern->limits);
    const PCRE2_SIZE *at = pcre2_get_ovector_pointer(data);
    enum pattern_result result = result_of(found);
    if (result == PATTERN_MATCH) /* \K in a lookaround can begin a match behind its end */
        *span = (struct pattern_span){at[0] < at[1] ? at[0] : at[1], at[1]};
    if (pattern->is_resumable && !is_all && (result == PATTERN_NONE || result == PATTERN_OPEN))
        *from = result == PATTERN_OPEN ? at[0] : bytes.length;
    pcre2_match_data_free(data);
    return result;
}

const char *pattern_version(char *text, size_t room)
{
    char version[64] = "?"; /* PCRE2 asks for 24 at least */

    (void)pcre2_config(PCRE2_CONFIG_VERSION, version);
    (void)snprintf(text, room, "%s (built with %d.%d)", version, PCRE2_MAJOR, PCRE2_MINOR);
    return text;
}

#else

struct pattern *pattern_new(const char *text, struct pattern_fault *fault)
{
    (void)text;
    *fault = (struct pattern_fault){.words = "not available in this build"};
    return NULL;
}

void pattern_free(struct pattern *pattern)
{
    (void)pattern; /* there is none */
}

enum pattern_result pattern_search(const struct pattern *pattern, struct bytes bytes, size_t *from,
                                   bool is_all, struct pattern_span *span)
{
    (void)pattern, (void)bytes, (void)from, (void)is_all, (void)span;
    return PATTERN_EXHAUSTED; /* there is none to be searched */
}

const char *pattern_version(char *text, size_t room)
{
    (void)text, (void)room;
    return NULL;
}

#endif
