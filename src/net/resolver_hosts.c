#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "tcpgreet/net/resolver.h"

#define BLANKS " \t\r\n"

/* Returns: the family of an address as hosts(5) has it, with a zone or without; AF_UNSPEC where it is none.
 */
static int family_of(char *address)
{
    struct in6_addr v6;
    struct in_addr v4;

    if (inet_pton(AF_INET, address, &v4) == 1)
        return AF_INET;
    address[strcspn(address, "%")] = '\0';
    if (inet_pton(AF_INET6, address, &v6) != 1)
        return AF_UNSPEC;
    return IN6_IS_ADDR_V4MAPPED(&v6) ? AF_INET : AF_INET6;
}

static void read_line(char *line, const char *name, struct resolver_hosts *hosts)
{
    char *rest = NULL;

    line[strcspn(line, "#")] = '\0';
    char *address = strtok_r(line, BLANKS, &rest);
    if (address == NULL)
        return;
    int family = family_of(address);
    for (char *word = strtok_r(NULL, BLANKS, &rest); word != NULL; word = strtok_r(NULL, BLANKS, &rest))
        if (strcasecmp(word, name) == 0) {
            hosts->v6 = hosts->v6 || family == AF_INET6;
            hosts->v4 = hosts->v4 || family == AF_INET;
        }
}

struct resolver_hosts resolver_read_hosts(const char *path, const char *name)
{
    struct resolver_hosts hosts = {0};
    size_t room = 0;
    char *line = NULL;
    FILE *file = fopen(path, "re");

    if (file == NULL)
        return hosts;
    while (getline(&line, &room, file) >= 0)
        read_line(line, name, &hosts);
    free(line);
    (void)fclose(file);
    return hosts;
}
