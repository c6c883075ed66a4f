#include "name_input.h"

#include <string.h>

enum { READ_BYTES = 4096 };

int name_input_open(struct name_input *names, uv_loop_t *loop, int fd, struct err *err)
{
    return names->operand_count > 0 ? 0 : input_open(&names->input, loop, fd, err);
}

static enum name_input_result next_operand(struct name_input *names, struct bytes *name)
{
    if (names->given == names->operand_count)
        return NAME_INPUT_END;
    const char *operand = names->operands[names->given++];
    *name = (struct bytes){operand, strlen(operand)};
    return NAME_INPUT_NEXT;
}

/* Reads once. Returns: NAME_INPUT_NEXT where there is something new to look at. */
static enum name_input_result fill(struct name_input *names, struct err *err)
{
    char data[READ_BYTES];
    size_t count = 0;

    switch (input_read(&names->input, data, sizeof data, &count, err)) {
    case INPUT_WAIT:
        return NAME_INPUT_WAIT;
    case INPUT_FAILED:
        return NAME_INPUT_FAILED;
    case INPUT_END:
        names->ended = true;
        return NAME_INPUT_NEXT;
    case INPUT_BYTES:
        break;
    }
    if (buf_append(&names->line, (struct bytes){data, count}) == 0)
        return NAME_INPUT_NEXT;
    err_set(err, ERR_INTERNAL, 0, "not enough memory for a name");
    return NAME_INPUT_FAILED;
}

/* What is buffered as a line, if one ends in it or nothing more will come. *taken: with its newline. */
static bool find_line(const struct name_input *names, struct bytes *line, size_t *taken)
{
    struct bytes bytes = buf_bytes(&names->line);
    const char *lf = bytes.length > 0 ? memchr(bytes.data, '\n', bytes.length) : NULL;

    if (lf == NULL && !(names->ended && bytes.length > 0))
        return false;
    size_t length = lf != NULL ? (size_t)(lf - bytes.data) : bytes.length;
    *taken = lf != NULL ? length + 1 : length;
    if (lf != NULL && length > 0 && bytes.data[length - 1] == '\r')
        length--;
    *line = (struct bytes){bytes.data, length};
    return true;
}

/* Throws away what belongs to a line that is too long. Returns: whether its end is reached. */
static bool skip(struct name_input *names)
{
    struct bytes line;
    size_t taken;
    bool whole = find_line(names, &line, &taken);
    buf_consume(&names->line, whole ? taken : buf_length(&names->line));
    names->skipping = !whole && !names->ended;
    return !names->skipping;
}

static enum name_input_result refuse(struct name_input *names, const struct err *why, struct err *err)
{
    err_set(err, ERR_USAGE, 0, "line %zu of standard input: %s", names->given, why->text);
    return NAME_INPUT_REFUSED;
}

static enum name_input_result refuse_endless(struct name_input *names, struct err *err)
{
    struct err why = {0};
    names->given++;
    err_set(&why, ERR_USAGE, 0, "the name is too long: a name has at most %d bytes", GREETING_NAME_MAX);
    names->skipping = true;
    return refuse(names, &why, err);
}

static enum name_input_result next_line(struct name_input *names, struct bytes *name, struct err *err)
{
    struct err why = {0};

    buf_consume(&names->line, names->taken);
    names->taken = 0;
    for (;;) {
        if (names->skipping && !skip(names)) {
            /* more of it is to come */
        } else if (find_line(names, name, &names->taken)) {
            names->given++;
            if (session_name_fits(names->framing, *name, &why) == 0)
                return NAME_INPUT_NEXT;
            return refuse(names, &why, err);
        } else if (buf_length(&names->line) > GREETING_NAME_MAX + 1) {
            return refuse_endless(names, err);
        } else if (names->ended) {
            return NAME_INPUT_END;
        }
        enum name_input_result result = fill(names, err);
        if (result != NAME_INPUT_NEXT)
            return result;
    }
}

enum name_input_result name_input_next(struct name_input *names, struct bytes *name, struct err *err)
{
    return names->operand_count > 0 ? next_operand(names, name) : next_line(names, name, err);
}

void name_input_close(struct name_input *names)
{
    input_close(&names->input);
    buf_fini(&names->line);
}
