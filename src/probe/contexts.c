#include "contexts.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { TEXTS = 6 };

/* The texts of a configuration that a context is made of. */
static void list_texts(struct tls_client_config *config, const char **texts[TEXTS])
{
    const char **all[TEXTS] = {&config->policy.alpn, &config->policy.passphrase_file, &config->policy.crl,
                               &config->ca,          &config->identity.cert,          &config->identity.key};
    memcpy((void *)texts, (const void *)all, sizeof all);
}

static bool are_equal(const char *a, const char *b)
{
    return a == b || (a != NULL && b != NULL && strcmp(a, b) == 0);
}

static bool fits(const struct probe_context *context, const struct tls_client_config *config)
{
    struct tls_client_config mine = context->config, other = *config;
    const char **a[TEXTS], **b[TEXTS];

    if (context->is_old || mine.policy.tls13_only != other.policy.tls13_only ||
        mine.policy.insecure != other.policy.insecure || mine.pins.count != other.pins.count ||
        memcmp(mine.pins.list, other.pins.list, mine.pins.count * sizeof mine.pins.list[0]) != 0)
        return false;
    list_texts(&mine, a);
    list_texts(&other, b);
    for (size_t i = 0; i < TEXTS; i++)
        if (!are_equal(*a[i], *b[i]))
            return false;
    return true;
}

static void free_context(struct probe_context *context)
{
    const char **texts[TEXTS];

    list_texts(&context->config, texts);
    tls_client_free(context->client);
    for (size_t i = 0; i < TEXTS; i++)
        free((char *)*texts[i]);
    free(context);
}

/* Returns: 0, -1: not enough memory; then the texts that are left are freed with the context. */
static int copy_texts(struct probe_context *context)
{
    const char **texts[TEXTS];
    int result = 0;

    context->config.servername = NULL;
    list_texts(&context->config, texts);
    for (size_t i = 0; i < TEXTS; i++) {
        if (*texts[i] == NULL)
            continue;
        *texts[i] = result == 0 ? strdup(*texts[i]) : NULL;
        if (*texts[i] == NULL)
            result = -1;
    }
    return result;
}

static struct probe_context *make(const struct tls_client_config *config, struct err *err)
{
    struct probe_context *context = calloc(1, sizeof *context);

    if (context == NULL) {
        err_set(err, ERR_INTERNAL, ENOMEM, "no memory for TLS");
        return NULL;
    }
    context->config = *config;
    if (copy_texts(context) < 0)
        err_set(err, ERR_INTERNAL, ENOMEM, "no memory for TLS");
    else
        context->client = tls_client_new(&context->config, err);
    if (context->client != NULL)
        return context;
    free_context(context);
    return NULL;
}

static void prepend(struct probe_contexts *contexts, struct probe_context *context)
{
    context->next = contexts->first;
    contexts->first = context;
}

struct probe_context *probe_contexts_get(struct probe_contexts *contexts,
                                         const struct tls_client_config *config, struct err *err)
{
    struct probe_context **link = &contexts->first;

    while (*link != NULL && !fits(*link, config))
        link = &(*link)->next;
    struct probe_context *context = *link;
    if (context != NULL)
        *link = context->next;
    else if ((context = make(config, err)) == NULL)
        return NULL;
    prepend(contexts, context);
    context->users++;
    return context;
}

/* Frees what is in use no more: the old ones, and those that were not wanted for longest. */
static void trim(struct probe_contexts *contexts)
{
    size_t unused = 0;

    for (struct probe_context **link = &contexts->first; *link != NULL;) {
        struct probe_context *context = *link;
        bool is_surplus = context->users == 0 && (context->is_old || ++unused > PROBE_CONTEXTS_UNUSED_MAX);
        if (is_surplus) {
            *link = context->next;
            free_context(context);
        } else {
            link = &context->next;
        }
    }
}

void probe_contexts_put(struct probe_contexts *contexts, struct probe_context *context)
{
    if (context == NULL)
        return;
    context->users--;
    trim(contexts);
}

int probe_contexts_reload(struct probe_contexts *contexts, struct err *err)
{
    struct probe_context *renewed = NULL;
    int result = 0;

    for (struct probe_context *old = contexts->first; old != NULL; old = old->next) {
        struct probe_context *context = old->is_old ? NULL : make(&old->config, err);
        if (context == NULL) {
            result = old->is_old ? result : -1;
            continue;
        }
        old->is_old = true;
        context->next = renewed;
        renewed = context;
    }
    while (renewed != NULL) { /* in the order of before */
        struct probe_context *context = renewed;
        renewed = context->next;
        prepend(contexts, context);
    }
    trim(contexts);
    return result;
}

void probe_contexts_fini(struct probe_contexts *contexts)
{
    while (contexts->first != NULL) {
        struct probe_context *context = contexts->first;
        contexts->first = context->next;
        free_context(context);
    }
}
