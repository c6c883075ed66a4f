#include "resolver_names.h"

#include <string.h>

#include "tcpgreet/base/escape.h"
#include "tcpgreet/base/idn.h"

/* Full-width digits become a number, other characters what no name holds. */
static int check(const char *host, const char *labels, struct err *err)
{
    struct target target;
    char shown[256];

    if (idn_is_ascii(host) || target_parse(&target, labels, "0", err) == 0)
        return 0;
    return err_context(err, "%s", escape_text((struct bytes){host, strlen(host)}, shown, sizeof shown));
}

int resolver_a_labels(const char *host, char out[TARGET_HOST_BYTES], struct err *err)
{
    const char *why;
    char shown[256];

    enum idn_result result = idn_to_ascii(host, out, TARGET_HOST_BYTES, &why);
    if (result == IDN_OK && idn_is_ascii(out))
        return check(host, out, err);
    if (result == IDN_OK)
        return err_set(err, ERR_USAGE, 0,
                       "internationalized names are not available in this build: write the host as A-labels "
                       "(xn--...)");
    escape_text((struct bytes){host, strlen(host)}, shown, sizeof shown);
    return result == IDN_NOT_AVAILABLE
               ? err_set(err, ERR_INTERNAL, 0, "cannot convert %s: %s", shown, why)
               : err_set(err, ERR_RESOLVE_NOT_FOUND, 0, "%s is not a domain name: %s", shown, why);
}
