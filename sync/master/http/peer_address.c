/* SPDX-License-Identifier: MIT */
#include "sync/master/http/peer_address.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

/* The last item of a list such as "192.0.2.1, 2001:db8::1" when it is an address. */
static bool last_of(const char *list, char *out, size_t cap)
{
    const char *comma = strrchr(list, ','), *from = comma ? comma + 1 : list;
    unsigned char any[sizeof(struct in6_addr)];
    char text[INET6_ADDRSTRLEN];

    from += strspn(from, " \t");
    snprintf(text, sizeof(text), "%s", from);
    text[strcspn(text, " \t")] = '\0';
    if (inet_pton(AF_INET, text, any) != 1 && inet_pton(AF_INET6, text, any) != 1)
        return false;
    snprintf(out, cap, "%s", text);
    return true;
}

static bool is_loopback(const char *text)
{
    return strncmp(text, "127.", 4) == 0 || strcmp(text, "::1") == 0;
}

void peer_address(struct MHD_Connection *conn, char *out, size_t cap)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(conn, MHD_CONNECTION_INFO_CLIENT_ADDRESS);
    const struct sockaddr *from = info ? info->client_addr : NULL;
    const char *forwarded = MHD_lookup_connection_value(conn, MHD_HEADER_KIND, "X-Forwarded-For");
    socklen_t len = from && from->sa_family == AF_INET6 ? sizeof(struct sockaddr_in6)
                                                        : sizeof(struct sockaddr_in);

    if (!from || getnameinfo(from, len, out, (socklen_t)cap, NULL, 0, NI_NUMERICHOST) != 0)
        snprintf(out, cap, "an unknown address");
    if (forwarded && is_loopback(out))
        (void)last_of(forwarded, out, cap);
}
