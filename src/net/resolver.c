#include "tcpgreet/net/resolver.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#ifdef TCPGREET_HAVE_IDN2
#include <idn2.h>
#endif

#include "tcpgreet/base/escape.h"
#include "tcpgreet/base/trace.h"

enum { ANSWER_MAX = 128 };

struct question {
    uv_getaddrinfo_t request;
    struct resolver *resolver;
    int family;
    uint64_t begin_ns;
};

/* Invariant: references == 1 for the owner, until resolver_cancel, + 1 for each question asked + 1 for a live
 * timer. */
struct resolver {
    struct question questions[2];
    uv_timer_t soon; /* delivers what is known at once from the loop, not from inside resolver_start */
    struct endpoint literal;
    resolver_answer_fn *answer;
    void *context;
    unsigned references;
    bool cancelled;
    char host[TARGET_HOST_BYTES];
    char service[TARGET_SERVICE_BYTES];
};

static atomic_uint pending;

unsigned resolver_pending(void)
{
    return atomic_load(&pending);
}

static int is_ascii(const char *text)
{
    for (; *text != '\0'; text++)
        if ((unsigned char)*text > 0x7f)
            return 0;
    return 1;
}

/* The name as the DNS knows it: A-labels. Without libidn2, what libuv makes of it is used. */
static int to_a_labels(const char *host, char out[TARGET_HOST_BYTES], struct err *err)
{
    snprintf(out, TARGET_HOST_BYTES, "%s", host);
#ifdef TCPGREET_HAVE_IDN2
    if (is_ascii(host))
        return 0;
    char *ascii = NULL;
    char shown[256];
    int result = idn2_to_ascii_8z(host, &ascii, IDN2_NFC_INPUT | IDN2_NONTRANSITIONAL);
    if (result != IDN2_OK || strlen(ascii) >= TARGET_HOST_BYTES) {
        escape_text((struct bytes){host, strlen(host)}, shown, sizeof shown);
        err_set(err, ERR_RESOLVE_NOT_FOUND, result, "%s is not a domain name: %s", shown,
                idn2_strerror(result));
        idn2_free(ascii);
        return -1;
    }
    snprintf(out, TARGET_HOST_BYTES, "%s", ascii);
    idn2_free(ascii);
#else
    (void)is_ascii;
    (void)err;
#endif
    return 0;
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
    char shown[256];
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
        return err_set(err, ERR_RESOLVE_NOT_FOUND, code, "there is no address for %s", shown);
    case EAI_SERVICE:
    case UV_EAI_SERVICE:
        return err_set_facts(err, ERR_RESOLVE_NOT_FOUND,
                             &(struct err_facts){.detail = ERR_DETAIL_SERVICE, .native = code},
                             "there is no TCP service named %s: use a port number", service);
    case EAI_AGAIN:
    case UV_EAI_AGAIN:
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
        return err_set(err, ERR_RESOLVE_TEMPORARY, code, "the name servers failed on %s", shown);
    default:
        return err_set(err, ERR_RESOLVE_NOT_FOUND, code, "cannot resolve %s: %s", shown,
                       code > UV_EAI_ADDRFAMILY && code < 0 ? gai_strerror(code) : uv_strerror(code));
    }
}

static size_t collect(const struct addrinfo *list, struct endpoint *endpoints, size_t room)
{
    size_t count = 0;
    for (; list != NULL && count < room; list = list->ai_next)
        if (endpoint_from_sockaddr(&endpoints[count], list->ai_addr, list->ai_addrlen) == 0)
            count++;
    return count;
}

/* The literal, synchronously: getaddrinfo with AI_NUMERICHOST asks nobody, and knows zones. */
static int lookup_literal(const struct target *target, int family, struct endpoint *endpoint, struct err *err)
{
    struct addrinfo hints = hints_for(family, target);
    struct addrinfo *list = NULL;
    int code = getaddrinfo(target->host, target->service, &hints, &list);
    int native = errno;
    size_t count = code == 0 ? collect(list, endpoint, 1) : 0;

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
    uv_close((uv_handle_t *)timer, on_soon_closed);
    if (!resolver->cancelled)
        resolver->answer(resolver->context, endpoint_family(&resolver->literal), &resolver->literal, 1, NULL);
}

static void on_answer(uv_getaddrinfo_t *request, int status, struct addrinfo *list)
{
    struct question *question = request->data;
    struct resolver *resolver = question->resolver;
    struct endpoint endpoints[ANSWER_MAX];
    struct err err = {0};
    size_t count = status == 0 ? collect(list, endpoints, ANSWER_MAX) : 0;

    atomic_fetch_sub(&pending, 1);
    if (list != NULL)
        uv_freeaddrinfo(list);
    if (count == 0)
        fail(&err, resolver->host, resolver->service, status == 0 ? UV_EAI_NODATA : status, 0);
    trace(.step = TRACE_RESOLVED, .fd = -1, .begin_ns = question->begin_ns,
          .arguments = question->family == AF_INET6 ? "AAAA" : "A", .result = count > 0 ? (int64_t)count : -1,
          .data = {err.text, strlen(err.text)});
    if (!resolver->cancelled)
        resolver->answer(resolver->context, question->family, endpoints, count, count == 0 ? &err : NULL);
    release(resolver);
}

static int ask(struct resolver *resolver, uv_loop_t *loop, struct question *question,
               const struct target *target, struct err *err)
{
    struct addrinfo hints = hints_for(question->family, target);
    char arguments[TARGET_HOST_BYTES + TARGET_SERVICE_BYTES + 16];

    question->resolver = resolver;
    question->request.data = question;
    question->begin_ns = trace_begin();
    snprintf(arguments, sizeof arguments, "%s, %s, %s", resolver->host, target->service,
             question->family == AF_INET6 ? "AF_INET6" : "AF_INET");
    trace(.step = TRACE_RESOLVE, .fd = -1, .arguments = arguments);

    int result = uv_getaddrinfo(loop, &question->request, on_answer, resolver->host, target->service, &hints);
    if (result != 0)
        return fail(err, resolver->host, target->service, result, 0);
    resolver->references++;
    atomic_fetch_add(&pending, 1);
    return 0;
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

static int start_questions(struct resolver *resolver, uv_loop_t *loop, const struct resolver_query *query,
                           struct err *err)
{
    const int families[2] = {AF_INET6, AF_INET};
    const bool wanted[2] = {query->want_v6, query->want_v4};

    if (to_a_labels(query->target->host, resolver->host, err) < 0)
        return -1;
    snprintf(resolver->service, sizeof resolver->service, "%s", query->target->service);
    for (size_t i = 0; i < 2; i++) {
        resolver->questions[i].family = families[i];
        if (wanted[i] && ask(resolver, loop, &resolver->questions[i], query->target, err) < 0)
            return -1;
    }
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
    int result = literal ? start_literal(resolver, loop, query->target, err)
                         : start_questions(resolver, loop, query, err);
    if (result < 0) {
        resolver_cancel(resolver);
        return NULL; /* NOLINT(clang-analyzer-unix.Malloc): the last reference frees it */
    }
    return resolver;
}

void resolver_cancel(struct resolver *resolver)
{
    if (resolver == NULL)
        return;
    resolver->cancelled = true;
    uv_handle_t *soon = (uv_handle_t *)&resolver->soon;
    if (soon->data != NULL && !uv_is_closing(soon))
        uv_close(soon, on_soon_closed);
    for (size_t i = 0; i < 2; i++)
        if (resolver->questions[i].resolver != NULL)
            uv_cancel((uv_req_t *)&resolver->questions[i].request);
    release(resolver);
}

size_t resolver_lookup(const struct resolver_query *query, struct endpoint *endpoints, size_t room,
                       struct err *err)
{
    const int families[2] = {AF_INET6, AF_INET};
    const bool wanted[2] = {query->want_v6, query->want_v4};
    char host[TARGET_HOST_BYTES];
    size_t count = 0;
    struct err worst = {0};

    if (to_a_labels(query->target->host, host, err) < 0)
        return 0;
    for (size_t i = 0; i < 2; i++) {
        if (!wanted[i])
            continue;
        struct addrinfo hints = hints_for(families[i], query->target);
        struct addrinfo *list = NULL;
        bool every = query->target->kind == TARGET_EVERY_ADDRESS;
        int code = getaddrinfo(every ? NULL : host, query->target->service, &hints, &list);
        if (code != 0)
            fail(&worst, host, query->target->service, code, errno);
        count += collect(list, endpoints + count, room - count);
        if (list != NULL)
            freeaddrinfo(list);
    }
    if (count == 0)
        (void)(worst.reason == ERR_OK
                   ? err_set(err, ERR_RESOLVE_NOT_FOUND, 0, "no address family is left to resolve")
                   : err_set_from(err, &worst, "%s", worst.text));
    return count;
}
