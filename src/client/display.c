#include "display.h"

#include <string.h>
#include <unistd.h>

#include "tcpgreet/base/escape.h"

enum {
    ESCAPED_MAX = 4,  /* bytes for one */
    PART_BYTES = 512, /* escaped at a time */
    SETTLE_MS = 100   /* a terminal that is stopped (Ctrl-S) holds up the loop no longer */
};

void display_init(struct display *display, struct output *output)
{
    *display = (struct display){.output = output,
                                .is_terminal = isatty(STDOUT_FILENO) == 1,
                                .is_ascii = !escape_is_utf8_environment(),
                                .at_line_start = true};
}

static int put(struct display *display, struct bytes bytes, struct err *err)
{
    if (bytes.length == 0)
        return 0;
    display->at_line_start = bytes.data[bytes.length - 1] == '\n';
    return output_write(display->output, bytes, err);
}

/* At most PART_BYTES. is_partial: the network may have cut a character in two: its front is kept for the next
 * call. */
static int put_escaped(struct display *display, struct bytes bytes, bool is_partial, struct err *err)
{
    char in[PART_BYTES + DISPLAY_CUT_MAX];
    char out[ESCAPED_MAX * sizeof in] = "";
    struct escape_style style = {.ascii = display->is_ascii,
                                 .keep_newline = true,
                                 .keep_layout = display->keeps_layout,
                                 .partial = is_partial};
    struct sink whole = {in, 0, sizeof in};
    struct sink shown = {out, 0, sizeof out};

    sink_put(&whole, (struct bytes){display->cut, display->cut_length});
    sink_put(&whole, bytes);
    size_t taken = escape((struct bytes){in, whole.length}, style, &shown);
    display->cut_length = whole.length - taken;
    memcpy(display->cut, in + taken, display->cut_length);
    return put(display, (struct bytes){out, shown.length}, err);
}

int display_put(struct display *display, struct bytes bytes, struct err *err)
{
    if (!display->is_terminal)
        return put(display, bytes, err);
    while (bytes.length > 0) {
        size_t length = bytes.length < PART_BYTES ? bytes.length : PART_BYTES;
        if (put_escaped(display, (struct bytes){bytes.data, length}, true, err) < 0)
            return -1;
        bytes = bytes_skip(bytes, length);
    }
    return 0;
}

void display_settle(struct display *display)
{
    if (display->is_terminal && display->output != NULL)
        output_drain(display->output, SETTLE_MS);
}

void display_end_line(struct display *display)
{
    if (display->is_terminal && !display->at_line_start && display->output != NULL)
        put(display, BYTES_LITERAL("\n"), NULL); /* a failure is reported when the output is closed */
    display_settle(display);
}

void display_end(struct display *display)
{
    if (display->cut_length > 0 && display->output != NULL)
        put_escaped(display, BYTES_LITERAL(""), false, NULL); /* a failure is reported as above */
    display_end_line(display);
}
