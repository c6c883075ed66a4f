#include "tcpgreet/probe/faces.h"

#include <stdlib.h>

#include "measures.h"
#include "phrases.h"

struct probe_brief probe_result_brief(const struct probe_result *result)
{
    return (struct probe_brief){.target = result->target,
                                .reason = result->verdict.reason,
                                .sentence = result->verdict.text,
                                .verified = probe_verified_word(probe_result_verified(result)),
                                .started_s = result->started_s,
                                .total_ns = result->total_ns};
}

const char *probe_result_line(const struct probe_result *result, char text[PROBE_LINE_BYTES])
{
    struct text_line line = {0};

    probe_phrase_verdict(result, &line);
    (void)snprintf(text, PROBE_LINE_BYTES, "%s", line.text);
    return text;
}

void probe_result_free(struct probe_result *result)
{
    if (result == NULL)
        return;
    probe_result_fini(result);
    free(result);
}
