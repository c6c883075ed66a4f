/* Errors as values: a reason word, the native code, and one sentence for a person. */
#ifndef TCPGREET_BASE_ERR_H
#define TCPGREET_BASE_ERR_H

/*
 * The one table of reasons: enumerator, word (docs/exit-codes.md), exit code.
 * A word's family is what stands before its first dash; a family has one exit code. Words are never renamed.
 */
#define ERR_REASONS(X)                                                                                       \
    X(ERR_OK, "ok", 0)                                                                                       \
    X(ERR_INTERNAL, "internal", 1)                                                                           \
    X(ERR_USAGE, "usage", 2)                                                                                 \
    X(ERR_RESOLVE_NOT_FOUND, "resolve-not-found", 3)                                                         \
    X(ERR_RESOLVE_TEMPORARY, "resolve-temporary", 3)                                                         \
    X(ERR_CONNECT_REFUSED, "connect-refused", 4)                                                             \
    X(ERR_CONNECT_UNREACHABLE, "connect-unreachable", 4)                                                     \
    X(ERR_CONNECT_TIMEOUT, "connect-timeout", 4)                                                             \
    X(ERR_CONNECT_RESET, "connect-reset", 4)                                                                 \
    X(ERR_TLS_PLAINTEXT_PEER, "tls-plaintext-peer", 5)                                                       \
    X(ERR_TLS_SILENT_PEER, "tls-silent-peer", 5)                                                             \
    X(ERR_TLS_PROTOCOL, "tls-protocol", 5)                                                                   \
    X(ERR_TLS_ALERT, "tls-alert", 5)                                                                         \
    X(ERR_TLS_TIMEOUT, "tls-timeout", 5)                                                                     \
    X(ERR_TLS_CLIENT_CERTIFICATE, "tls-client-certificate", 5)                                               \
    X(ERR_CERT_EXPIRED, "cert-expired", 6)                                                                   \
    X(ERR_CERT_NOT_YET_VALID, "cert-not-yet-valid", 6)                                                       \
    X(ERR_CERT_NAME, "cert-name", 6)                                                                         \
    X(ERR_CERT_UNTRUSTED, "cert-untrusted", 6)                                                               \
    X(ERR_CERT_SELF_SIGNED, "cert-self-signed", 6)                                                           \
    X(ERR_CERT_PURPOSE, "cert-purpose", 6)                                                                   \
    X(ERR_CERT_WEAK, "cert-weak", 6)                                                                         \
    X(ERR_CERT_PIN, "cert-pin", 6)                                                                           \
    X(ERR_DIALOGUE_EARLY_END, "dialogue-early-end", 7)                                                       \
    X(ERR_DIALOGUE_TRUNCATED, "dialogue-truncated", 7)                                                       \
    X(ERR_DIALOGUE_WRONG_ANSWER, "dialogue-wrong-answer", 7)                                                 \
    X(ERR_DIALOGUE_TIMEOUT, "dialogue-timeout", 7)                                                           \
    X(ERR_DIALOGUE_TLS_PEER, "dialogue-tls-peer", 7)                                                         \
    X(ERR_DIALOGUE_RESET, "dialogue-reset", 7)                                                               \
    X(ERR_SYSTEM_ADDRESS_IN_USE, "system-address-in-use", 8)                                                 \
    X(ERR_SYSTEM_ADDRESS_NOT_AVAILABLE, "system-address-not-available", 8)                                   \
    X(ERR_SYSTEM_PERMISSION, "system-permission", 8)                                                         \
    X(ERR_SYSTEM_DESCRIPTORS, "system-descriptors", 8)                                                       \
    X(ERR_SYSTEM_FILE, "system-file", 8)                                                                     \
    X(ERR_SYSTEM_OUTPUT, "system-output", 8)                                                                 \
    X(ERR_SYSTEM_OTHER, "system-other", 8)                                                                   \
    X(ERR_DEGRADED, "degraded", 9)                                                                           \
    X(ERR_THRESHOLD, "threshold", 10)                                                                        \
    X(ERR_INTERRUPTED, "interrupted", 130)

enum err_reason {
#define ERR_ENUMERATOR(name, word, code) name,
    ERR_REASONS(ERR_ENUMERATOR)
#undef ERR_ENUMERATOR
        ERR_REASON_COUNT
};

enum { ERR_TEXT_BYTES = 512 };

/* Starts as `struct err err = {0}`. Invariant: reason == ERR_OK if and only if text is empty. */
struct err {
    enum err_reason reason;
    int native; /* errno or the like; 0 where there is none */
    char text[ERR_TEXT_BYTES];
};

/* Records a failure, unless one is recorded already: the first to notice knows best.
 * Shape: err may be NULL; the text is cut at ERR_TEXT_BYTES - 1, never inside an escape or a UTF-8 character.
 * Returns: -1, always, so that a caller can `return err_set(...)`. */
__attribute__((format(printf, 4, 5))) int err_set(struct err *err, enum err_reason reason, int native,
                                                  const char *format, ...);

/* Adds context in front of a recorded text: err_context(err, "cannot do %s", x) makes "cannot do x: " + text,
 * whose tail is cut where it does not fit. Does nothing where nothing is recorded. Shape: err may be NULL.
 * Returns: -1, always. */
__attribute__((format(printf, 2, 3))) int err_context(struct err *err, const char *format, ...);

/* Forgets what is recorded. */
void err_clear(struct err *err);

/* Returns: the contract's word for a reason, "internal" for anything out of range. */
const char *err_word(enum err_reason reason);

/* Returns: the exit code of a reason. */
int err_exit_code(enum err_reason reason);

/* Returns: the connect-… reason of a connect(2) errno; system-… where the fault is on this side. */
enum err_reason err_reason_of_connect(int native);

/* Returns: the system-… reason of an errno. */
enum err_reason err_reason_of_system(int native);

#endif
