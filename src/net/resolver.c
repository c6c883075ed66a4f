#include "tcpgreet/net/resolver.h"
#include "resolver_names.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "service_hint.h"
#include "tcpgreet/base/escape.h"
#include "tcpgreet/base/idn.h"
#include "tcpgreet/base/trace.h"

#define HOSTS_FILE "/etc/hosts"
#define HOSTS_REMEDY ": add it to " HOSTS_FILE ", with 127.0.0.1 and ::1"

enum { ANSWER_MAX = 128, FAMILIES = 2 };

static const int families[FAMILIES] = {AF_INET6, AF_INET};

struct question {
    uv_getaddrinfo_t request;
    struct resolver *resolver; /* NULL: not under way */
    int family;                /* AF_UNSPEC: both */
    bool is_answered;          /* or cancelled: nothing more is to be reported of it */
    uint64_t begin_ns;
};

/* Invariant: references == 1 for the owner, until resolver_cancel, + 1 for each question asked + 1 for an
 * open timer + 1 while the hosts file is read. */
struct resolver {
    uv_loop_t *loop;
    struct question questions[FAMILIES];
    uv_work_t reading; /* of the hosts file, before anything is asked; data NULL: not under way */
    uv_timer_t soon;   /* delivers what is known at once from the loop, not from inside resolver_start */
    struct endpoint literal;
    resolver_answer_fn *answer;
    void *context;
    unsigned references;
    bool cancelled;
    bool wanted[FAMILIES];
    struct resolver_hosts hosts;
    struct target target; /* its host in A-labels */
};

static atomic_uint pending;

unsigned resolver_pending(void)
{
    return atomic_load(&pending);
}

static struct addrinfo hints_for(int family, const struct target *target)
{
    bool literal = target->kind == TARGET_IPV4 || target->kind == TARGET_IPV6;
    bool number = target->service[strspn(target->service, "0123456789")] == '\0';
    return (struct addrinfo){.ai_family = family,
                             .ai_socktype = SOCK_STREAM,
                             .ai_flags = (literal ? AI_NUMERICHOST : 0) | (number ? AI_NUMERICSERV : 0) |
                                         (target->kind == TARGET_EVERY_ADDRESS ? AI_PASSIVE : 0)};
}

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

/* Both getaddrinfo's codes and libuv's names for them. */
static int fail(struct err *err, const char *host, const char *service, int code, int native)
{
    char shown[256], hint[SERVICE_HINT_BYTES];
    escape_text((struct bytes){host, strlen(host)}, shown, sizeof shown);
    if (is_out_of_descriptors())
        return err_set(err, ERR_SYSTEM_DESCRIPTORS, EMFILE, "cannot resolve %s: %s (raise ulimit -n)", shown,
                       strerror(EMFILE));

    switch (code) {
    case EAI_NONAME:
    case UV_EAI_NONAME:
#ifdef EAI_NODATA
    case EAI_NODATA:
#endif
    case UV_EAI_NODATA:
#ifdef EAI_ADDRFAMILY
    case EAI_ADDRFAMILY:
#endif
    case UV_EAI_ADDRFAMILY:
        if (strchr(host, '%') != NULL) /* only an IPv6 address holds one, before its zone */
            return err_set_facts(
                err, ERR_RESOLVE_NOT_FOUND, &(struct err_facts){.detail = ERR_DETAIL_LITERAL, .native = code},
                "there is no address %s: this machine has no interface %s (ip link lists them)", shown,
                strchr(shown, '%') + 1);
        return err_set(err, ERR_RESOLVE_NOT_FOUND, code, "there is no address for %s%s", shown,
                       target_is_localhost(host) ? HOSTS_REMEDY : "");
    case EAI_SERVICE:
    case UV_EAI_SERVICE:
        return err_set_facts(
            err, ERR_RESOLVE_NOT_FOUND, &(struct err_facts){.detail = ERR_DETAIL_SERVICE, .native = code},
            "there is no TCP service named %s: use a port number%s", service, service_hint(service, hint));
    case EAI_AGAIN:
    case UV_EAI_AGAIN:
        if (target_is_localhost(host))
            return err_set(err, ERR_RESOLVE_TEMPORARY, code, "there is no address for %s" HOSTS_REMEDY,
                           shown);
        return err_set(err, ERR_RESOLVE_TEMPORARY, code,
                       "no name server had an answer for %s: try again, or check /etc/resolv.conf", shown);
    case EAI_MEMORY:
    case UV_EAI_MEMORY:
    case UV_ENOMEM:
        return err_set(err, ERR_INTERNAL, ENOMEM, "no memory to resolve %s", shown);
    case EAI_SYSTEM:
        return err_set(err, ERR_RESOLVE_TEMPORARY, native, "cannot resolve %s: %s", shown, strerror(native));
    case EAI_FAIL:
    case UV_EAI_FAIL:
        return err_set(err, ERR_RESOLVE_TEMPORARY, code, "the name servers failed on %s%s", shown,
                       target_is_localhost(host) ? HOSTS_REMEDY : "");
    default:
        return err_set(err, ERR_RESOLVE_NOT_FOUND, code, "cannot resolve %s: %s", shown,
                       code > UV_EAI_ADDRFAMILY && code < 0 ? gai_strerror(code) : uv_strerror(code));
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
                         int asked, int code, struct err *err)
{
    fail(err, target->host, target->service, code != 0 ? code : UV_EAI_NODATA, errno);
    bool is_service = err->native == EAI_SERVICE || err->native == UV_EAI_SERVICE;
    if (!is_only_in_hosts(hosts, family) || (asked == AF_UNSPEC && code != 0) || is_service ||
        err->reason == ERR_INTERNAL)
        return false;
    err_clear(err);
    err_set(err, ERR_RESOLVE_NOT_FOUND, UV_EAI_NODATA, HOSTS_FILE " has no IPv%c address for %s",
            family == AF_INET6 ? '6' : '4', target->host);
    return true;
}

/* The literal, synchronously: getaddrinfo with AI_NUMERICHOST asks no server, and knows zones. */
static int lookup_literal(const struct target *target, int family, struct endpoint *endpoint, struct err *err)
{
    struct addrinfo hints = hints_for(family, target);
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

static void on_soon_closed(uv_handle_t *handle)
{
    release(handle->data);
}

static void on_soon(uv_timer_t *timer)
{
    struct resolver *resolver = timer->data;
    const struct resolver_answer answer = {
        .family = endpoint_family(&resolver->literal), .endpoints = &resolver->literal, .count = 1};
    uv_close((uv_handle_t *)timer, on_soon_closed);
    if (!resolver->cancelled)
        resolver->answer(resolver->context, &answer);
}

static bool is_asked(const struct question *question, size_t family)
{
    return question->family == families[family] ||
           (question->family == AF_UNSPEC && question->resolver->wanted[family]);
}

static void deliver(const struct question *question, const struct resolver_answer *answer)
{
    const struct resolver *resolver = question->resolver;
    const char *text = answer->err != NULL ? answer->err->text : "";

    atomic_fetch_sub(&pending, 1);
    if (resolver->cancelled)
        return;
    trace(.step = TRACE_RESOLVED, .fd = -1, .begin_ns = question->begin_ns,
          .arguments = answer->family == AF_INET6 ? "AAAA" : "A",
          .result = answer->count > 0 ? (int64_t)answer->count : -1, .data = {text, strlen(text)});
    resolver->answer(resolver->context, answer);
}

static void on_answer(uv_getaddrinfo_t *request, int status, struct addrinfo *list)
{
    struct question *question = request->data;
    struct resolver *resolver = question->resolver;

    question->is_answered = true;
    for (size_t i = 0; i < FAMILIES; i++) {
        struct endpoint endpoints[ANSWER_MAX];
        struct err err = {0};
        struct resolver_answer answer = {.family = families[i], .endpoints = endpoints};
        if (!is_asked(question, i))
            continue;
        answer.count = status == 0 ? collect(list, families[i], endpoints, ANSWER_MAX) : 0;
        if (answer.count == 0) {
            answer.only_in_hosts = explain_lack(&resolver->target, &resolver->hosts, families[i],
                                                question->family, status, &err);
            answer.err = &err;
        }
        deliver(question, &answer);
    }
    if (list != NULL)
        uv_freeaddrinfo(list);
    question->resolver = NULL;
    release(resolver);
}

static const char *family_name(int family)
{
    return family == AF_INET6 ? "AF_INET6" : family == AF_INET ? "AF_INET" : "AF_UNSPEC";
}

/* What cannot even be asked is an answer, too. */
static void ask(struct resolver *resolver, struct question *question, int family)
{
    const struct target *target = &resolver->target;
    struct addrinfo hints = hints_for(family, target);
    char arguments[TARGET_HOST_BYTES + TARGET_SERVICE_BYTES + 16];

    question->resolver = resolver;
    question->family = family;
    question->request.data = question;
    question->is_answered = false;
    question->begin_ns = trace_begin();
    snprintf(arguments, sizeof arguments, "%s, %s, %s", target->host, target->service, family_name(family));
    trace(.step = TRACE_RESOLVE, .fd = -1, .arguments = arguments);
    resolver->references++;
    int result =
        uv_getaddrinfo(resolver->loop, &question->request, on_answer, target->host, target->service, &hints);
    if (result != 0)
        on_answer(&question->request, result, NULL);
}

static void read_hosts(uv_work_t *work)
{
    struct resolver *resolver = work->data;
    resolver->hosts = resolver_read_hosts(HOSTS_FILE, resolver->target.host);
}

static void on_read(uv_work_t *work, int status)
{
    struct resolver *resolver = work->data;
    bool both = resolver->wanted[0] && resolver->wanted[1];
    (void)status;

    work->data = NULL;
    if (resolver->cancelled) {
        atomic_fetch_sub(&pending, (unsigned)resolver->wanted[0] + (unsigned)resolver->wanted[1]);
    } else if (both && (resolver->hosts.v6 || resolver->hosts.v4)) {
        ask(resolver, &resolver->questions[0], AF_UNSPEC);
    } else {
        for (size_t i = 0; i < FAMILIES; i++)
            if (resolver->wanted[i])
                ask(resolver, &resolver->questions[i], families[i]);
    }
    release(resolver);
}

static int start_literal(struct resolver *resolver, uv_loop_t *loop, const struct target *target,
                         struct err *err)
{
    int family = target->kind == TARGET_IPV6 ? AF_INET6 : AF_INET;
    if (lookup_literal(target, family, &resolver->literal, err) < 0)
        return -1;
    if (uv_timer_init(loop, &resolver->soon) != 0)
        return err_set(err, ERR_INTERNAL, 0, "cannot make a timer");
    resolver->soon.data = resolver;
    resolver->references++;
    uv_timer_start(&resolver->soon, on_soon, 0, 0);
    return 0;
}

static int start_name(struct resolver *resolver, uv_loop_t *loop, const struct resolver_query *query,
                      struct err *err)
{
    resolver->loop = loop;
    resolver->wanted[0] = query->want_v6;
    resolver->wanted[1] = query->want_v4;
    resolver->target = *query->target;
    if (resolver_a_labels(query->target->host, resolver->target.host, err) < 0)
        return -1;
    resolver->reading.data = resolver;
    int result = uv_queue_work(loop, &resolver->reading, read_hosts, on_read);
    if (result != 0) {
        resolver->reading.data = NULL;
        return err_set(err, ERR_INTERNAL, 0, "cannot resolve %s: %s", resolver->target.host,
                       uv_strerror(result));
    }
    resolver->references++;
    atomic_fetch_add(&pending, (unsigned)query->want_v6 + (unsigned)query->want_v4);
    return 0;
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
    return resolver->reading.data == NULL && is_only_in_hosts(&resolver->hosts, family);
}

static void cancel_question(struct question *question)
{
    if (!question->is_answered)
        trace(.step = TRACE_RESOLVE_CANCEL, .fd = -1, .begin_ns = question->begin_ns,
              .arguments = question->family == AF_INET6  ? "AAAA"
                           : question->family == AF_INET ? "A"
                                                         : "AAAA and A");
    question->is_answered = true;
    uv_cancel((uv_req_t *)&question->request);
}

void resolver_cancel(struct resolver *resolver)
{
    if (resolver == NULL)
        return;
    resolver->cancelled = true;
    uv_handle_t *soon = (uv_handle_t *)&resolver->soon;
    if (soon->data != NULL && !uv_is_closing(soon))
        uv_close(soon, on_soon_closed);
    if (resolver->reading.data != NULL)
        uv_cancel((uv_req_t *)&resolver->reading);
    for (size_t i = 0; i < FAMILIES; i++)
        if (resolver->questions[i].resolver != NULL)
            cancel_question(&resolver->questions[i]);
    release(resolver);
}

/* Returns: how many addresses of the family there are; 0 with err. */
static size_t ask_and_wait(const struct target *target, const struct resolver_hosts *hosts, int family,
                           int asked, struct endpoint *endpoints, size_t room, struct err *err)
{
    struct addrinfo hints = hints_for(asked, target);
    struct addrinfo *list = NULL;
    bool every = target->kind == TARGET_EVERY_ADDRESS;
    int code = getaddrinfo(every ? NULL : target->host, target->service, &hints, &list);
    size_t count = code == 0 ? collect(list, family, endpoints, room) : 0;

    if (count == 0)
        explain_lack(target, hosts, family, asked, code, err);
    if (list != NULL)
        freeaddrinfo(list);
    return count;
}

size_t resolver_lookup(const struct resolver_query *query, struct endpoint *endpoints, size_t room,
                       struct err *err)
{
    const bool wanted[FAMILIES] = {query->want_v6, query->want_v4};
    struct target target = *query->target;
    struct resolver_hosts hosts = {0};
    struct err worst = {0};
    size_t count = 0;

    if (resolver_a_labels(query->target->host, target.host, err) < 0)
        return 0;
    if (target.kind == TARGET_NAME)
        hosts = resolver_read_hosts(HOSTS_FILE, target.host);
    bool at_once = query->want_v6 && query->want_v4 && (hosts.v6 || hosts.v4);
    for (size_t i = 0; i < FAMILIES && count < room; i++) {
        struct err why = {0};
        if (!wanted[i])
            continue;
        count += ask_and_wait(&target, &hosts, families[i], at_once ? AF_UNSPEC : families[i],
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
    if (!idn_is_ascii(host))
        return err_set(err, ERR_USAGE, 0,
                       "internationalized names are not available in this build: write the host as A-labels "
                       "(xn--...)");
    return find_port(target->service, port, err);
}
