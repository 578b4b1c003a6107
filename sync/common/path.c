/* SPDX-License-Identifier: MIT */
#include "sync/common/path.h"
#include "sync/common/trouble.h"

#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <linux/openat2.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

static int check_component(const char *name, size_t len)
{
    if (len == 0)
        return -EINVAL;
    if (len > EEFS_NAME_MAX)
        return -ENAMETOOLONG;
    if (name[0] == '.' && (len == 1 || (len == 2 && name[1] == '.')))
        return -EINVAL;
    return 0;
}

int path_check_name(const char *name)
{
    if (strchr(name, '/'))
        return -EINVAL;
    return check_component(name, strlen(name));
}

int path_check(const char *path)
{
    const char *p = path;

    if (!*p)
        return 0;
    if (strlen(path) > EEFS_PATH_MAX)
        return -ENAMETOOLONG;
    for (;;) {
        size_t len = strcspn(p, "/");
        int r = check_component(p, len);
        if (r < 0)
            return r;
        if (!p[len])
            return 0;
        p += len + 1;
    }
}

int path_from_text(const char *text, char **ret)
{
    struct buf b = BUF_INIT;
    int r = *text ? 0 : -EINVAL;

    buf_reserve(&b, 0);
    while (*text && r == 0) {
        size_t len = strcspn(text, "/");
        if (len > 0 && !(len == 1 && *text == '.')) {
            if (b.len > 0)
                buf_putc(&b, '/');
            buf_append(&b, text, len);
        }
        text += len + (text[len] == '/');
    }
    if (r == 0)
        r = path_check(b.data);
    if (r == 0)
        *ret = buf_detach(&b);
    buf_release(&b);
    return r;
}

bool path_is_under(const char *path, const char *dir)
{
    size_t n = strlen(dir);

    if (n == 0)
        return true;
    return strncmp(path, dir, n) == 0 && (path[n] == '\0' || path[n] == '/');
}

const char *path_base(const char *path)
{
    const char *slash = strrchr(path, '/');

    return slash ? slash + 1 : path;
}

size_t path_parent_len(const char *path)
{
    const char *slash = strrchr(path, '/');

    return slash ? (size_t)(slash - path) : 0;
}

char *path_parent(const char *path)
{
    return xstrndup(path, path_parent_len(path));
}

char *path_join(const char *dir, const char *name)
{
    return *dir ? xasprintf("%s/%s", dir, name) : xstrdup(name);
}

void path_encode(struct buf *out, const char *path)
{
    static const char digits[] = "0123456789ABCDEF";

    for (const unsigned char *p = (const unsigned char *)path; *p; p++) {
        if (*p > 0x20 && *p < 0x7f && *p != '%' && *p != '"' && *p != '\\') {
            buf_putc(out, (char)*p);
        } else {
            char esc[3] = {'%', digits[*p >> 4], digits[*p & 15]};
            buf_append(out, esc, 3);
        }
    }
}

char *path_encoded(const char *path)
{
    struct buf b = BUF_INIT;

    path_encode(&b, path);
    return buf_detach(&b);
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return -1;
}

int path_unescape(const char *text, struct buf *out)
{
    for (const char *p = text; *p; p++) {
        int hi, lo;

        if (*p != '%') {
            buf_putc(out, *p);
            continue;
        }
        hi = hex_digit(p[1]);
        lo = hi < 0 ? -1 : hex_digit(p[2]);
        if (lo < 0 || (hi == 0 && lo == 0))
            return -EINVAL;
        buf_putc(out, (char)(hi << 4 | lo));
        p += 2;
    }
    buf_reserve(out, 0);
    return 0;
}

int path_decode(const char *text, char **ret)
{
    struct buf b = BUF_INIT;
    int r = path_unescape(text, &b);

    if (r == 0)
        r = path_check(b.data);
    if (r == 0)
        *ret = buf_detach(&b);
    buf_release(&b);
    return r;
}

bool path_matches(const char *pattern, const char *path)
{
    char pat[EEFS_PATH_MAX + 1];
    char part[EEFS_PATH_MAX + 1];
    size_t lead = pattern[0] == '.' && pattern[1] == '/' ? 1 : 0;
    size_t plen, len = strlen(path);
    bool whole;

    lead += strspn(pattern + lead, "/");
    pattern += lead;
    plen = strlen(pattern);
    while (plen > 0 && pattern[plen - 1] == '/')
        plen--;
    if (plen == 0 || plen > EEFS_PATH_MAX || len > EEFS_PATH_MAX)
        return false;
    memcpy(pat, pattern, plen);
    pat[plen] = '\0';
    whole = lead > 0 || strchr(pat, '/') != NULL;

    for (size_t start = 0; start < len;) {
        size_t end = start + strcspn(path + start, "/");
        size_t from = whole ? 0 : start;

        memcpy(part, path + from, end - from);
        part[end - from] = '\0';
        if (fnmatch(pat, part, 0) == 0)
            return true;
        start = end + 1;
    }
    return false;
}

bool path_matches_below(const char *pattern, const char *dir)
{
    size_t lead = pattern[0] == '.' && pattern[1] == '/' ? 1 : 0, n = strlen(dir), literal, plen;

    lead += strspn(pattern + lead, "/");
    pattern += lead;
    plen = strlen(pattern);
    while (plen > 0 && pattern[plen - 1] == '/')
        plen--;
    if (lead == 0 && !memchr(pattern, '/', plen))
        return false; /* of a name alone: it moves along */
    literal = strcspn(pattern, "*?[\\");
    if (literal > n)
        return n == 0 || (strncmp(pattern, dir, n) == 0 && pattern[n] == '/' && plen > n);
    /* What is literal leads to the folder; then something follows that may match in it. */
    return literal < plen && strncmp(pattern, dir, literal) == 0;
}

int path_open_beneath(int rootfd, const char *path, int flags, mode_t mode)
{
    struct open_how how = {
        .flags = (unsigned)flags | O_CLOEXEC,
        .mode = (flags & (O_CREAT | __O_TMPFILE)) ? mode : 0,
        .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS,
    };
    long fd;

    do {
        fd = syscall(SYS_openat2, rootfd, *path ? path : ".", &how, sizeof(how));
    } while (fd < 0 && (errno == EINTR || errno == EAGAIN));
    return fd < 0 ? trouble_at(-errno, rootfd, path) : (int)fd;
}
