#include "diagnosis.h"
#include "tcpgreet/core/service.h"

enum { QUOTE_BYTES = 256 };

static const char *remedy(const struct probe_group *group)
{
    return group->result->until == PROBE_UNTIL_AUTO
               ? ""
               : " To probe a service that is not a tcpgreet server, use --until auto.";
}

/* The run's time was over before the peer's silence was known to be more than a pause. */
static bool is_cut_early(const struct probe_group *group)
{
    const struct probe_result *result = group->result;

    for (size_t i = 0; i < result->address_count; i++)
        if (result->addresses[i].peer_is == PROBE_PEER_GREETS)
            return false; /* which is demanded of the others, too */
    return result->until == PROBE_UNTIL_AUTO && probe_group_first(group)->first_count == 0;
}

static void report_cut_early(const struct probe_group *group, struct text_line *line)
{
    text_append(
        line,
        "At %s the time limit expired before it was clear whether the service waits for its client: allow a second more (--timeout, --retry).",
        probe_group_place(group).text);
}

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

void probe_reports_volume_broken(const struct probe_group *group, struct text_line *line)
{
    text_append(
        line,
        "At %s short names are answered and a large transfer stalls: the path drops large packets. Look for a link with a smaller MTU behind a filter that drops ICMP; a smaller MTU or MSS clamping helps.",
        probe_group_place(group).text);
}

bool probe_is_volume_corrupted(const struct probe_result *result, const struct probe_address *address)
{
    (void)result;
    return address->err.detail == ERR_DETAIL_VOLUME_CHANGED;
}

void probe_reports_volume_corrupted(const struct probe_group *group, struct text_line *line)
{
    text_append(
        line,
        "At %s short names are answered correctly and a large transfer is corrupted: %s. A middlebox rewrites bytes, or the server has a defect.",
        probe_group_place(group).text, probe_group_first(group)->err.text);
}

bool probe_is_reset(const struct probe_result *result, const struct probe_address *address)
{
    (void)result;
    return address->err.reason == ERR_DIALOGUE_RESET || address->err.reason == ERR_CONNECT_RESET;
}

void probe_reports_reset(const struct probe_group *group, struct text_line *line)
{
    enum probe_phase last = probe_group_first(group)->last;
    struct text_line place = probe_group_place(group);
    const struct err *err = &probe_group_first(group)->err;

    if (err->native != 0 && !err_is_of_reset(err->native))
        text_append(line, "At %s the connection breaks (%s): the path to the server, or the server, is gone.",
                    place.text, err->text);
    else if (last <= PROBE_PROXY || last == PROBE_WELCOME)
        text_append(
            line,
            "At %s the connection is accepted and then reset, %s: a firewall, an access list, or a service that is overloaded or crashes.",
            place.text, group->result->tls ? "without data after the TLS handshake" : "without data");
    else
        text_append(
            line,
            "At %s the connection is reset during the dialogue (%s): the service crashed, or a firewall interferes. See the server's log.",
            place.text, probe_phase_name(last));
}

bool probe_is_wrong_service(const struct probe_result *result, const struct probe_address *address)
{
    (void)result;
    return address->err.reason == ERR_DIALOGUE_WRONG_ANSWER && address->last <= PROBE_WELCOME &&
           !probe_address_greets(address);
}

static struct text service_of(const struct probe_address *address)
{
    const char *word = service_identify(err_received(&address->err));
    struct text text = {""};

    if (word != NULL)
        (void)snprintf(text.text, sizeof(text.text), " (%s)", word);
    return text;
}

void probe_reports_wrong_service(const struct probe_group *group, struct text_line *line)
{
    char quoted[QUOTE_BYTES];
    text_append(line, "At %s another service answers%s: it sent \"%s\". Check the port%s.",
                probe_group_place(group).text, service_of(probe_group_first(group)).text,
                probe_quote_peer(probe_group_first(group), quoted, sizeof quoted),
                group->result->until == PROBE_UNTIL_AUTO
                    ? ""
                    : "; to probe a service that is not a tcpgreet server, use --until auto");
}

bool probe_is_wrong_answer(const struct probe_result *result, const struct probe_address *address)
{
    (void)result;
    return address->err.reason == ERR_DIALOGUE_WRONG_ANSWER;
}

void probe_reports_wrong_answer(const struct probe_group *group, struct text_line *line)
{
    const struct probe_address *first = probe_group_first(group);
    enum probe_phase last =
        first->last > PROBE_WELCOME ? first->last : PROBE_NAME; /* it came with the welcome */

    text_append(line, "At %s the welcome is correct and a later answer is wrong (%s): %s.",
                probe_group_place(group).text, probe_phase_name(last), first->err.text);
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

void probe_reports_mute_after_tls(const struct probe_group *group, struct text_line *line)
{
    if (is_cut_early(group)) {
        report_cut_early(group, line);
        return;
    }
    text_append(
        line,
        "At %s the TLS handshake succeeds and no complete welcome follows: what terminates TLS works, and the service behind it may be down.%s",
        probe_group_place(group).text, remedy(group));
}

void probe_reports_mute(const struct probe_group *group, struct text_line *line)
{
    if (is_cut_early(group)) {
        report_cut_early(group, line);
        return;
    }
    text_append(
        line,
        "At %s the connection is accepted and no complete welcome follows: the kernel accepts, and the service hangs or is overloaded.%s",
        probe_group_place(group).text, remedy(group));
}

bool probe_is_unanswered(const struct probe_result *result, const struct probe_address *address)
{
    (void)result;
    return is_late(address);
}

void probe_reports_unanswered(const struct probe_group *group, struct text_line *line)
{
    enum probe_phase last = probe_group_first(group)->last;
    struct text_line place = probe_group_place(group);

    if (last == PROBE_VOLUME)
        text_append(line, "At %s short names are answered and a large transfer is not complete in time: %s.",
                    place.text, probe_group_first(group)->err.text);
    else
        text_append(
            line,
            "At %s the server sends its welcome and then %s: it hangs, or is too slow for --answer-timeout.",
            place.text, last == PROBE_CLOSE ? "does not close after exit" : "does not answer a name");
}

bool probe_is_truncated(const struct probe_result *result, const struct probe_address *address)
{
    (void)result;
    return address->err.reason == ERR_DIALOGUE_TRUNCATED ||
           (address->err.reason == ERR_DIALOGUE_EARLY_END && address->last == PROBE_VOLUME);
}

void probe_reports_truncated(const struct probe_group *group, struct text_line *line)
{
    enum probe_phase last = probe_group_first(group)->last;
    struct text_line place = probe_group_place(group);

    if (last == PROBE_VOLUME)
        text_append(
            line,
            "At %s short names are answered and a large transfer is cut off: a middlebox ends it, or the server has a limit. See the server's log.",
            place.text);
    else if (last == PROBE_CLOSE)
        text_append(
            line,
            "At %s every answer arrives, but TLS ends without close_notify, which cannot be distinguished from truncation: the server must send close_notify before it closes, unless a middlebox closes the connection.",
            place.text);
    else
        text_append(
            line,
            "At %s the stream is truncated (%s), without close_notify: a middlebox closed the connection, or the server crashed. See the server's log.",
            place.text, probe_phase_name(last));
}

bool probe_is_early_end(const struct probe_result *result, const struct probe_address *address)
{
    (void)result;
    return address->err.reason == ERR_DIALOGUE_EARLY_END;
}

void probe_reports_early_end(const struct probe_group *group, struct text_line *line)
{
    const struct probe_address *first = probe_group_first(group);
    struct text_line place = probe_group_place(group);

    if (first->err.detail == ERR_DETAIL_SERVER_FULL)
        text_append(line, "At %s %s.", place.text, first->err.text);
    else if (first->last <= PROBE_WELCOME)
        text_append(
            line,
            "At %s the connection is accepted and closed before the welcome is complete: an access list, a port forwarder whose backend is down, a service that crashes, or one that is not a tcpgreet server.",
            place.text);
    else
        text_append(
            line,
            "At %s the server ends the dialogue too early (%s): it crashed, or a middlebox closed the connection. See the server's log.",
            place.text, probe_phase_name(first->last));
}

bool probe_is_unmet(const struct probe_result *result, const struct probe_address *address)
{
    (void)result;
    return address->last == PROBE_EXCHANGE &&
           (is_late(address) || address->err.reason == ERR_DIALOGUE_UNEXPECTED);
}

void probe_reports_unmet(const struct probe_group *group, struct text_line *line)
{
    text_append(line, "At %s the exchange fails: %s.", probe_group_place(group).text,
                probe_group_first(group)->err.text);
}
