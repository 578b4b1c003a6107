/* SPDX-License-Identifier: MIT */
#include "sync/common/listen.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define BACKLOG 1024

static bool is_loopback(const struct sockaddr *sa)
{
    if (sa->sa_family == AF_INET)
        return (ntohl(((const struct sockaddr_in *)(const void *)sa)->sin_addr.s_addr) >> 24) ==
               127;
    return IN6_IS_ADDR_LOOPBACK(&((const struct sockaddr_in6 *)(const void *)sa)->sin6_addr);
}

static int resolve(const char *option, const char *at, struct addrinfo **ret, struct err *e)
{
    const struct addrinfo hints = {.ai_flags = AI_PASSIVE | AI_NUMERICSERV,
                                   .ai_socktype = SOCK_STREAM};
    const char *colon = strrchr(at, ':');
    char host[256];
    size_t n = colon ? (size_t)(colon - at) : 0;
    const char *start = at;
    int r;

    if (n > 2 && start[0] == '[' && start[n - 1] == ']') {
        start++;
        n -= 2;
    }
    if (!colon || n == 0 || n >= sizeof(host) || !colon[1] ||
        strspn(colon + 1, "0123456789") != strlen(colon + 1) || strlen(colon + 1) > 5 ||
        strtol(colon + 1, NULL, 10) > 65535)
        return err_set(e, EINVAL, "%s is HOST:PORT such as 127.0.0.1:7700, not '%s'", option, at);
    memcpy(host, start, n);
    host[n] = '\0';
    r = getaddrinfo(host, colon + 1, &hints, ret);
    if (r != 0)
        return err_set(e, EINVAL, "cannot listen on '%s': %s", at, gai_strerror(r));
    return 0;
}

int listen_tcp(const char *option, const char *at, const char *elsewhere, struct err *e)
{
    struct addrinfo *ai = NULL;
    int fd = -1, one = 1, r = resolve(option, at, &ai, e);

    if (r < 0)
        return r;
    if (elsewhere && !is_loopback(ai->ai_addr)) {
        r = err_set(e, EINVAL, "'%s' is not a loopback address: %s", at, elsewhere);
        goto out;
    }
    fd = socket(ai->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd >= 0)
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    if (fd < 0 || bind(fd, ai->ai_addr, ai->ai_addrlen) < 0 || listen(fd, BACKLOG) < 0)
        r = err_sys(e, errno, "cannot listen on '%s'", at);
out:
    freeaddrinfo(ai);
    if (r < 0 && fd >= 0)
        close(fd);
    return r < 0 ? r : fd;
}

int listen_unix(const char *path, mode_t mode, struct err *e)
{
    struct sockaddr_un sa = {.sun_family = AF_UNIX};
    int fd, r = 0;

    if (strlen(path) >= sizeof(sa.sun_path))
        return err_set(e, ENAMETOOLONG, "the path of the socket '%s' is too long", path);
    strcpy(sa.sun_path, path);
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd >= 0)
        unlink(path);
    if (fd < 0 || bind(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0 || chmod(path, mode) < 0 ||
        listen(fd, BACKLOG) < 0)
        r = err_sys(e, errno, "cannot listen on '%s'", path);
    if (r < 0 && fd >= 0)
        close(fd);
    return r < 0 ? r : fd;
}
