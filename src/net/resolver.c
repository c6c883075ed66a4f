#include "tcpgreet/net/resolver.h"
#include "resolver_names.h"

#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "resolver_questions.h"
#include "service_hint.h"
#include "tcpgreet/base/escape.h"
#include "tcpgreet/base/trace.h"

#define HOSTS_FILE RESOLVER_HOSTS_FILE

enum { ANSWER_MAX = 128 };

/* Invariants: references == 1 for the owner, until resolver_cancel, + 1 while the handle is open. waiting:
 * how many families have not been answered. */
struct resolver {
    union {
        uv_handle_t any;
        uv_timer_t soon;    /* of a literal: it is delivered from the loop, not from inside resolver_start */
        uv_async_t changed; /* of a name: its questions have */
    } handle;
    struct endpoint literal;
    struct resolver_questions *questions; /* NULL: of a literal */
    resolver_answer_fn *answer;
    void *context;
    unsigned references;
    unsigned waiting;
    bool cancelled;
    bool wanted[RESOLVER_FAMILIES];
    enum resolver_progress seen[RESOLVER_FAMILIES]; /* of each question */
    struct target target;                           /* its host in A-labels */
};

/* Whether the C library can have failed because it could open neither its files nor a socket: it reports that
 * as a name that is unknown. */
static bool is_out_of_descriptors(void)
{
    enum { NEEDED = 4 };
    int fds[NEEDED];
    int opened = 0;

    while (opened < NEEDED && (fds[opened] = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 0)) >= 0)
        opened++;
    bool is_out = opened < NEEDED && (errno == EMFILE || errno == ENFILE);
    while (opened > 0)
        (void)close(fds[--opened]);
    return is_out;
}

/* Returns: what to do where a name of this machine is not found, or nothing. */
static const char *hosts_remedy(const char *host)
{
    const char *dot = strrchr(host, '.');

    if (!target_is_localhost(host))
        return "";
    return dot != NULL && dot[1] == '\0' ? ": leave out the dot at its end, " HOSTS_FILE
                                           " has names without it"
                                         : ": add it to " HOSTS_FILE ", with 127.0.0.1 and ::1";
}

/* code: of getaddrinfo; native: its errno. */
static int fail(struct err *err, const char *host, const char *service, int code, int native)
{
    char shown[256], hint[SERVICE_HINT_BYTES];
    const char *zone = strchr(host, '%'); /* only an IPv6 address holds one */

    escape_text((struct bytes){host, strlen(host)}, shown, sizeof shown);
    if (is_out_of_descriptors())
        return err_set(err, ERR_SYSTEM_DESCRIPTORS, EMFILE, "cannot resolve %s: %s (raise ulimit -n)", shown,
                       strerror(EMFILE));

    switch (code) {
    case EAI_NONAME:
#ifdef EAI_NODATA
    case EAI_NODATA:
#endif
#ifdef EAI_ADDRFAMILY
    case EAI_ADDRFAMILY:
#endif
        if (zone != NULL && if_nametoindex(zone + 1) == 0)
            return err_set_facts(
                err, ERR_RESOLVE_NOT_FOUND, &(struct err_facts){.detail = ERR_DETAIL_LITERAL, .native = code},
                "there is no address %s: this machine has no interface %s (ip link lists them)", shown,
                strchr(shown, '%') + 1);
        return err_set(err, ERR_RESOLVE_NOT_FOUND, code, "there is no address for %s%s", shown,
                       hosts_remedy(host));
    case EAI_SERVICE:
        return err_set_facts(
            err, ERR_RESOLVE_NOT_FOUND, &(struct err_facts){.detail = ERR_DETAIL_SERVICE, .native = code},
            "there is no TCP service named %s: use a port number%s", service, service_hint(service, hint));
    case EAI_AGAIN:
        if (target_is_localhost(host))
            return err_set(err, ERR_RESOLVE_TEMPORARY, code, "there is no address for %s%s", shown,
                           hosts_remedy(host));
        return err_set(err, ERR_RESOLVE_TEMPORARY, code,
                       "no name server had an answer for %s: try again, or check /etc/resolv.conf", shown);
    case EAI_MEMORY:
        return err_set(err, ERR_INTERNAL, ENOMEM, "no memory to resolve %s", shown);
    case EAI_SYSTEM:
        return err_set(err, ERR_RESOLVE_TEMPORARY, native, "cannot resolve %s: %s", shown, strerror(native));
    case EAI_FAIL:
        return err_set(err, ERR_RESOLVE_TEMPORARY, code, "the name servers failed on %s%s", shown,
                       hosts_remedy(host));
    default:
        return err_set(err, ERR_RESOLVE_NOT_FOUND, code, "cannot resolve %s: %s", shown, gai_strerror(code));
    }
}

/* An IPv4-mapped address that a name server or a hosts file has is IPv4. Source: RFC 4291 section 2.5.5.2. */
static void unmap(struct endpoint *endpoint)
{
    const struct sockaddr_in6 *v6 = &endpoint->address.v6;
    struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = v6->sin6_port};

    if (endpoint_family(endpoint) != AF_INET6 || !IN6_IS_ADDR_V4MAPPED(&v6->sin6_addr))
        return;
    memcpy(&v4.sin_addr, &v6->sin6_addr.s6_addr[12], sizeof v4.sin_addr);
    (void)endpoint_from_sockaddr(endpoint, (const struct sockaddr *)&v4, sizeof v4);
}

/* Returns: how many are of the family. */
static size_t collect(const struct addrinfo *list, int family, struct endpoint *endpoints, size_t room)
{
    size_t count = 0;
    for (; list != NULL && count < room; list = list->ai_next) {
        if (endpoint_from_sockaddr(&endpoints[count], list->ai_addr, list->ai_addrlen) < 0)
            continue;
        unmap(&endpoints[count]);
        count += endpoint_family(&endpoints[count]) == family;
    }
    return count;
}

/* Returns: whether the hosts file has the name, for the other family only. */
static bool is_only_in_hosts(const struct resolver_hosts *hosts, int family)
{
    return family == AF_INET6 ? hosts->v4 && !hosts->v6 : hosts->v6 && !hosts->v4;
}

/* Why a family has no address. asked: AF_UNSPEC where the question was for both at once; where that has
 * failed, the hosts file has no answer. code: 0 where it had an answer. Returns: whether it is that the hosts
 * file has the name for the other family only. Shape: err is empty. */
static bool explain_lack(const struct target *target, const struct resolver_hosts *hosts, int family,
                         int asked, int code, int native, struct err *err)
{
    fail(err, target->host, target->service, code != 0 ? code : EAI_NONAME, native);
    if (!is_only_in_hosts(hosts, family) || (asked == AF_UNSPEC && code != 0) ||
        err->detail == ERR_DETAIL_SERVICE || err->reason == ERR_INTERNAL)
        return false;
    err_clear(err);
    err_set(err, ERR_RESOLVE_NOT_FOUND, EAI_NONAME, HOSTS_FILE " has no IPv%c address for %s",
            family == AF_INET6 ? '6' : '4', target->host);
    return true;
}

/* The literal, synchronously: getaddrinfo with AI_NUMERICHOST asks no server, and knows zones. */
static int lookup_literal(const struct target *target, int family, struct endpoint *endpoint, struct err *err)
{
    struct addrinfo hints = resolver_hints(family, target);
    struct addrinfo *list = NULL;
    int code = getaddrinfo(target->host, target->service, &hints, &list);
    int native = errno;
    size_t count = code == 0 ? collect(list, family, endpoint, 1) : 0;

    if (list != NULL)
        freeaddrinfo(list);
    return count == 1 ? 0 : fail(err, target->host, target->service, code, native);
}

static void release(struct resolver *resolver)
{
    if (--resolver->references == 0)
        free(resolver);
}

static void on_handle_closed(uv_handle_t *handle)
{
    release(handle->data);
}

static void close_handle(struct resolver *resolver)
{
    if (!uv_is_closing(&resolver->handle.any))
        uv_close(&resolver->handle.any, on_handle_closed);
}

static void on_soon(uv_timer_t *timer)
{
    struct resolver *resolver = timer->data;
    const struct resolver_answer answer = {
        .family = endpoint_family(&resolver->literal), .endpoints = &resolver->literal, .count = 1};
    close_handle(resolver);
    resolver->answer(resolver->context, &answer);
}

/* The owner may cancel from inside, but the resolver stays until the loop goes on. */
static void deliver(struct resolver *resolver, const struct resolver_question *question,
                    const struct resolver_answer *answer)
{
    const char *text = answer->err != NULL ? answer->err->text : "";

    trace(.step = TRACE_RESOLVED, .fd = -1, .begin_ns = question->begin_ns,
          .arguments = answer->family == AF_INET6 ? "AAAA" : "A",
          .result = answer->count > 0 ? (int64_t)answer->count : -1, .data = {text, strlen(text)});
    if (--resolver->waiting == 0)
        close_handle(resolver);
    resolver->answer(resolver->context, answer);
}

static void answer_family(struct resolver *resolver, const struct resolver_question *question, int family)
{
    struct endpoint endpoints[ANSWER_MAX];
    struct err err = {0};
    struct resolver_answer answer = {.family = family, .endpoints = endpoints};

    answer.count = question->code == 0 ? collect(question->list, family, endpoints, ANSWER_MAX) : 0;
    if (answer.count == 0) {
        struct resolver_hosts hosts = resolver_questions_hosts(resolver->questions);
        answer.only_in_hosts = explain_lack(&resolver->target, &hosts, family, question->family,
                                            question->code, question->native, &err);
        answer.err = &err;
    }
    deliver(resolver, question, &answer);
}

static void trace_question(const struct resolver *resolver, const struct resolver_question *question)
{
    const struct target *target = &resolver->target;
    int family = question->family;
    char arguments[TARGET_HOST_BYTES + TARGET_SERVICE_BYTES + 16];

    snprintf(arguments, sizeof arguments, "%s, %s, %s", target->host, target->service,
             family == AF_INET6  ? "AF_INET6"
             : family == AF_INET ? "AF_INET"
                                 : "AF_UNSPEC");
    trace(.step = TRACE_RESOLVE, .fd = -1, .arguments = arguments);
}

/* One of its questions is asked, or answered. */
static void look(struct resolver *resolver, size_t index)
{
    struct resolver_question question = resolver_questions_look(resolver->questions, index);
    enum resolver_progress seen = resolver->seen[index];

    resolver->seen[index] = question.progress;
    if (seen == RESOLVER_NOT_ASKED && question.progress != RESOLVER_NOT_ASKED)
        trace_question(resolver, &question);
    for (size_t i = 0; i < RESOLVER_FAMILIES && seen != question.progress; i++) {
        bool is_asked = question.family == AF_UNSPEC ? resolver->wanted[i] : i == index;
        if (question.progress == RESOLVER_ANSWERED && is_asked && !resolver->cancelled)
            answer_family(resolver, &question, resolver_families[i]);
    }
    if (question.list != NULL)
        freeaddrinfo(question.list);
}

static void on_changed(uv_async_t *changed)
{
    struct resolver *resolver = changed->data;
    for (size_t i = 0; i < RESOLVER_FAMILIES && !resolver->cancelled; i++)
        look(resolver, i);
}

static int start_literal(struct resolver *resolver, uv_loop_t *loop, const struct target *target,
                         struct err *err)
{
    int family = target->kind == TARGET_IPV6 ? AF_INET6 : AF_INET;
    if (lookup_literal(target, family, &resolver->literal, err) < 0)
        return -1;
    if (uv_timer_init(loop, &resolver->handle.soon) != 0)
        return err_set(err, ERR_INTERNAL, 0, "cannot make a timer");
    resolver->handle.any.data = resolver;
    resolver->references++;
    uv_timer_start(&resolver->handle.soon, on_soon, 0, 0);
    return 0;
}

static int start_name(struct resolver *resolver, uv_loop_t *loop, const struct resolver_query *query,
                      struct err *err)
{
    struct target *target = &resolver->target;
    int failure;

    *target = *query->target;
    resolver->wanted[0] = query->want_v6;
    resolver->wanted[1] = query->want_v4;
    resolver->waiting = (unsigned)query->want_v6 + (unsigned)query->want_v4;
    if (resolver_a_labels(query->target->host, target->host, err) < 0)
        return -1;
    int result = uv_async_init(loop, &resolver->handle.changed, on_changed);
    if (result != 0)
        return err_set(err, err_reason_of_system(-result), -result, "cannot resolve %s: %s", target->host,
                       uv_strerror(result));
    resolver->handle.any.data = resolver;
    resolver->references++;
    resolver->questions =
        resolver_questions_start(target, resolver->wanted, &resolver->handle.changed, &failure);
    if (resolver->questions != NULL)
        return 0;
    if (failure == ENOMEM)
        return err_set(err, ERR_INTERNAL, ENOMEM, "no memory to resolve %s", target->host);
    err_set_no_thread(err, failure);
    return err_context(err, "cannot resolve %s", target->host);
}

struct resolver *resolver_start(uv_loop_t *loop, const struct resolver_query *query,
                                resolver_answer_fn *answer, void *context, struct err *err)
{
    struct resolver *resolver = calloc(1, sizeof *resolver);
    if (resolver == NULL) {
        err_set(err, ERR_INTERNAL, ENOMEM, "no memory to resolve a name");
        return NULL;
    }
    resolver->references = 1;
    resolver->answer = answer;
    resolver->context = context;

    enum target_kind kind = query->target->kind;
    bool literal = kind == TARGET_IPV4 || kind == TARGET_IPV6;
    int result =
        literal ? start_literal(resolver, loop, query->target, err) : start_name(resolver, loop, query, err);
    if (result < 0) {
        resolver_cancel(resolver);
        return NULL; /* NOLINT(clang-analyzer-unix.Malloc): the last reference frees it */
    }
    return resolver;
}

bool resolver_is_only_in_hosts(const struct resolver *resolver, int family)
{
    if (resolver->questions == NULL)
        return false;
    struct resolver_hosts hosts = resolver_questions_hosts(resolver->questions);
    return is_only_in_hosts(&hosts, family);
}

static void trace_cancelled(struct resolver *resolver, size_t index)
{
    struct resolver_question question = resolver_questions_look(resolver->questions, index);

    trace(.step = TRACE_RESOLVE_CANCEL, .fd = -1, .begin_ns = question.begin_ns,
          .arguments = question.family == AF_INET6  ? "AAAA"
                       : question.family == AF_INET ? "A"
                                                    : "AAAA and A");
    if (question.list != NULL)
        freeaddrinfo(question.list);
}

void resolver_cancel(struct resolver *resolver)
{
    if (resolver == NULL)
        return;
    resolver->cancelled = true;
    for (size_t i = 0; i < RESOLVER_FAMILIES; i++)
        if (resolver->seen[i] == RESOLVER_ASKED)
            trace_cancelled(resolver, i);
    resolver_questions_forget(resolver->questions);
    if (resolver->handle.any.data != NULL)
        close_handle(resolver);
    release(resolver);
}

/* Returns: how many addresses of the family there are; 0 with err. */
static size_t ask_and_wait(const struct target *target, const struct resolver_hosts *hosts, int family,
                           int asked, struct endpoint *endpoints, size_t room, struct err *err)
{
    struct addrinfo hints = resolver_hints(asked, target);
    struct addrinfo *list = NULL;
    bool every = target->kind == TARGET_EVERY_ADDRESS;
    int code = getaddrinfo(every ? NULL : target->host, target->service, &hints, &list);
    int native = errno;
    size_t count = code == 0 ? collect(list, family, endpoints, room) : 0;

    if (count == 0)
        explain_lack(target, hosts, family, asked, code, native, err);
    if (list != NULL)
        freeaddrinfo(list);
    return count;
}

size_t resolver_lookup(const struct resolver_query *query, struct endpoint *endpoints, size_t room,
                       struct err *err)
{
    const bool wanted[RESOLVER_FAMILIES] = {query->want_v6, query->want_v4};
    struct target target = *query->target;
    struct resolver_hosts hosts = {0};
    struct err worst = {0};
    size_t count = 0;

    if (resolver_a_labels(query->target->host, target.host, err) < 0)
        return 0;
    if (target.kind == TARGET_NAME)
        hosts = resolver_read_hosts(HOSTS_FILE, target.host);
    bool at_once = query->want_v6 && query->want_v4 && (hosts.v6 || hosts.v4);
    for (size_t i = 0; i < RESOLVER_FAMILIES && count < room; i++) {
        struct err why = {0};
        if (!wanted[i])
            continue;
        count +=
            ask_and_wait(&target, &hosts, resolver_families[i], at_once ? AF_UNSPEC : resolver_families[i],
                         endpoints + count, room - count, &why);
        if (worst.reason == ERR_OK)
            worst = why;
    }
    if (count == 0)
        (void)(worst.reason == ERR_OK
                   ? err_set(err, ERR_RESOLVE_NOT_FOUND, 0, "no address family is left to resolve")
                   : err_set_from(err, &worst, "%s", worst.text));
    return count;
}

static int find_port(const char *service, uint16_t *port, struct err *err)
{
    const struct addrinfo hints = {.ai_family = AF_INET, .ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE};
    struct addrinfo *list = NULL;
    struct endpoint endpoint;
    int code = getaddrinfo(NULL, service, &hints, &list);
    int native = errno;
    size_t count = code == 0 ? collect(list, AF_INET, &endpoint, 1) : 0;

    if (list != NULL)
        freeaddrinfo(list);
    if (count == 0)
        return fail(err, "", service, code, native);
    *port = endpoint_port(&endpoint);
    return 0;
}

int resolver_remote(const struct target *target, char host[TARGET_HOST_BYTES], uint16_t *port,
                    struct err *err)
{
    if (resolver_a_labels(target->host, host, err) < 0)
        return -1;
    return find_port(target->service, port, err);
}
