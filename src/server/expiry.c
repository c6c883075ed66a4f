#include "expiry.h"

void expiry_read(struct expiry *expiry, const struct tls_server *tls)
{
    struct expiry_certificate *next = expiry->list;
    struct tls_identity_facts identity;

    for (size_t i = 0; tls != NULL && tls_server_identity(tls, i, &identity); i++) {
        for (size_t depth = 0; next < expiry->list + EXPIRY_MAX; depth++) {
            if (!tls_server_chain(tls, i, depth, &next->facts))
                break;
            next->identity = i;
            next->depth = depth;
            next++;
        }
    }
    expiry->count = (size_t)(next - expiry->list);
}
