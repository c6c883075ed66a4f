#include "diagnosis.h"

enum { SAID_BYTES = 256 };

static bool is_late(const struct probe_address *address)
{
    return address->err.reason == ERR_DIALOGUE_TIMEOUT;
}

/* Not one that goes on slowly, or that the end of the whole run's time has cut. */
bool probe_is_volume_broken(const struct probe_result *result, const struct probe_address *address)
{
    (void)result;
    return address->err.detail == ERR_DETAIL_VOLUME_STALLED;
}

void probe_tells_volume_broken(const struct probe_group *group, struct text_line *line)
{
    text_append(
        line,
        "At %s short names pass and a large transfer stands still: the path swallows large packets; look for "
        "a "
        "link with a smaller MTU behind a filter that drops ICMP (a smaller MTU or MSS clamping helps).",
        probe_group_place(group).text);
}

bool probe_is_volume_corrupted(const struct probe_result *result, const struct probe_address *address)
{
    (void)result;
    return address->err.detail == ERR_DETAIL_VOLUME_CHANGED;
}

void probe_tells_volume_corrupted(const struct probe_group *group, struct text_line *line)
{
    text_append(line,
                "At %s short names pass and a large transfer comes back changed: %s; something on the way "
                "rewrites bytes, "
                "or the server mixes them up.",
                probe_group_place(group).text, probe_group_first(group)->err.text);
}

bool probe_is_reset(const struct probe_result *result, const struct probe_address *address)
{
    (void)result;
    return address->err.reason == ERR_DIALOGUE_RESET || address->err.reason == ERR_CONNECT_RESET;
}

void probe_tells_reset(const struct probe_group *group, struct text_line *line)
{
    enum probe_phase last = probe_group_first(group)->last;
    struct text_line place = probe_group_place(group);

    if (last == PROBE_CONNECT || last == PROBE_WELCOME)
        text_append(
            line,
            "At %s the connection is accepted and then reset, %s: a firewall that cuts, a list of who "
            "may come, "
            "or a service that is overloaded or falls over.",
            place.text, group->result->tls ? "without a word after the TLS handshake" : "without a word");
    else
        text_append(line,
                    "At %s the connection is reset in the middle (%s): the service fell over, or a firewall "
                    "cuts; see "
                    "the server's log.",
                    place.text, probe_phase_name(last));
}

bool probe_is_wrong_service(const struct probe_result *result, const struct probe_address *address)
{
    (void)result;
    return address->err.reason == ERR_DIALOGUE_WRONG_ANSWER && address->last <= PROBE_WELCOME;
}

void probe_tells_wrong_service(const struct probe_group *group, struct text_line *line)
{
    char said[SAID_BYTES];
    text_append(line,
                "At %s another service answers, it said \"%s\": is that the right port? A service that does "
                "not greet is "
                "probed with --until %s.",
                probe_group_place(group).text, probe_said(probe_group_first(group), said, sizeof said),
                group->result->tls ? "tls" : "connect");
}

bool probe_is_wrong_answer(const struct probe_result *result, const struct probe_address *address)
{
    (void)result;
    return address->err.reason == ERR_DIALOGUE_WRONG_ANSWER;
}

void probe_tells_wrong_answer(const struct probe_group *group, struct text_line *line)
{
    text_append(line, "At %s the server greets as it should, and then goes wrong (%s): %s.",
                probe_group_place(group).text, probe_phase_name(probe_group_first(group)->last),
                probe_group_first(group)->err.text);
}

bool probe_is_mute(const struct probe_result *result, const struct probe_address *address)
{
    (void)result;
    return is_late(address) && address->last <= PROBE_WELCOME;
}

bool probe_is_mute_after_tls(const struct probe_result *result, const struct probe_address *address)
{
    return result->tls && probe_is_mute(result, address);
}

void probe_tells_mute_after_tls(const struct probe_group *group, struct text_line *line)
{
    text_append(
        line,
        "At %s the TLS handshake is well and no whole welcome comes after it: what ends TLS there is up, the "
        "service "
        "behind it may be down; one that does not greet is probed with --until tls.",
        probe_group_place(group).text);
}

void probe_tells_mute(const struct probe_group *group, struct text_line *line)
{
    text_append(
        line,
        "At %s the connection is accepted and no whole welcome comes: the kernel there answers, the service "
        "hangs or is "
        "overloaded; one that does not greet is probed with --until connect.",
        probe_group_place(group).text);
}

bool probe_is_unanswered(const struct probe_result *result, const struct probe_address *address)
{
    (void)result;
    return is_late(address);
}

void probe_tells_unanswered(const struct probe_group *group, struct text_line *line)
{
    enum probe_phase last = probe_group_first(group)->last;
    struct text_line place = probe_group_place(group);

    if (last == PROBE_VOLUME)
        text_append(line, "At %s short names pass and a large transfer is not done in time: %s.", place.text,
                    probe_group_first(group)->err.text);
    else
        text_append(
            line, "At %s the server welcomes, and then %s: it is too slow for --answer-timeout, or hangs.",
            place.text, last == PROBE_CLOSE ? "does not end when told exit" : "does not answer a name");
}

bool probe_is_truncated(const struct probe_result *result, const struct probe_address *address)
{
    (void)result;
    return address->err.reason == ERR_DIALOGUE_TRUNCATED ||
           (address->err.reason == ERR_DIALOGUE_EARLY_END && address->last == PROBE_VOLUME);
}

void probe_tells_truncated(const struct probe_group *group, struct text_line *line)
{
    enum probe_phase last = probe_group_first(group)->last;
    struct text_line place = probe_group_place(group);

    if (last == PROBE_VOLUME)
        text_append(
            line,
            "At %s short names pass and a large transfer is cut off: a middlebox has enough of it, or "
            "the server "
            "has a limit; see its log.",
            place.text);
    else if (last == PROBE_CLOSE)
        text_append(
            line,
            "At %s every word comes, but TLS ends without close_notify: nobody can tell that from a cut; the "
            "server must end TLS before it closes, unless a middlebox ends the connection for it.",
            place.text);
    else
        text_append(
            line,
            "At %s the stream is cut off within TLS (%s), without close_notify: a middlebox truncates, "
            "or the "
            "server fell over; see its log.",
            place.text, probe_phase_name(last));
}

bool probe_is_early_end(const struct probe_result *result, const struct probe_address *address)
{
    (void)result;
    return address->err.reason == ERR_DIALOGUE_EARLY_END;
}

void probe_tells_early_end(const struct probe_group *group, struct text_line *line)
{
    const struct probe_address *first = probe_group_first(group);
    struct text_line place = probe_group_place(group);

    if (first->err.detail == ERR_DETAIL_SERVER_FULL)
        text_append(line, "At %s %s.", place.text, first->err.text);
    else if (first->last <= PROBE_WELCOME)
        text_append(
            line,
            "At %s the connection is accepted and ended before the welcome is whole: a list of who may "
            "come, a "
            "service that falls over, or one that is not a greeter (--until connect).",
            place.text);
    else
        text_append(
            line,
            "At %s the server ends the dialogue too early (%s): it fell over, or a middlebox cuts; see "
            "its log.",
            place.text, probe_phase_name(first->last));
}
