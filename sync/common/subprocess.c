/* SPDX-License-Identifier: MIT */
#include "sync/common/subprocess.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "sync/common/buf.h"
#include "sync/common/clock.h"

#define MERCY_MS 3000 /* between SIGTERM and SIGKILL */
#define STEP_MS  200  /* how often `stop` is looked at */

static bool replaced(const char *const *variables, const char *ours)
{
    for (size_t i = 0; variables[i]; i++)
        if (strncmp(variables[i], ours, strcspn(variables[i], "=") + 1) == 0)
            return true;
    return false;
}

/* Made before the fork: afterwards other threads may hold malloc's lock. */
static const char **environment(const char *const *variables)
{
    size_t n = 0, ours = 0;
    const char **env;

    while (variables[n])
        n++;
    while (environ[ours])
        ours++;
    env = xcalloc(n + ours + 1, sizeof(*env));
    memcpy(env, variables, n * sizeof(*env));
    for (size_t i = 0; i < ours; i++)
        if (!replaced(variables, environ[i]))
            env[n++] = environ[i];
    return env;
}

static _Noreturn void become_command(const struct subprocess *s, char **argv, char **env)
{
    int null = open("/dev/null", O_RDWR);
    sigset_t none;

    setpgid(0, 0);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    signal(SIGPIPE, SIG_DFL);
    dup2(null, STDIN_FILENO);
    if (fcntl(STDERR_FILENO, F_GETFD) < 0)
        dup2(null, STDERR_FILENO);
    dup2(STDERR_FILENO, STDOUT_FILENO);
    close_range(STDERR_FILENO + 1, ~0u, 0);
    if (!s->account || account_become(s->account) == 0)
        execve("/bin/sh", argv, env);
    _exit(127);
}

pid_t subprocess_start(const struct subprocess *s)
{
    char *argv[] = {xstrdup("sh"), xstrdup("-c"), xstrdup(s->command), NULL};
    const char **env = environment(s->variables);
    char **envp;
    pid_t pid;

    memcpy(&envp, &env, sizeof(envp)); /* execve(2) does not write to them */
    pid = fork();
    if (pid == 0)
        become_command(s, argv, envp);
    if (pid < 0)
        pid = -errno;
    else
        setpgid(pid, pid); /* here too: it may be ended before it comes to that */
    for (int i = 0; argv[i]; i++)
        free(argv[i]);
    free(env);
    return pid;
}

/* Another thread or a signal may set it. */
static bool is_set(const volatile int *stop)
{
    return stop && __atomic_load_n(stop, __ATOMIC_RELAXED);
}

/* True when the child has ended. */
static bool ended(pid_t pid, int64_t timeout_ms, const volatile int *stop, int *status)
{
    int64_t until = clock_mono_ms() + timeout_ms;
    struct pollfd p = {.fd = (int)syscall(SYS_pidfd_open, pid, 0), .events = POLLIN};
    pid_t r;

    for (;;) {
        int64_t left = until - clock_mono_ms();

        r = waitpid(pid, status, WNOHANG);
        if (r != 0 || left <= 0 || is_set(stop))
            break;
        left = left < STEP_MS ? left : STEP_MS;
        (void)poll(&p, p.fd >= 0, (int)(p.fd >= 0 ? left : 20));
    }
    if (p.fd >= 0)
        close(p.fd);
    return r != 0;
}

int subprocess_wait(pid_t pid, int64_t timeout_ms, bool group, const volatile int *stop,
                    int *status)
{
    pid_t target = group ? -pid : pid;

    if (ended(pid, timeout_ms, stop, status))
        return 0;
    kill(target, SIGTERM);
    if (!ended(pid, MERCY_MS, NULL, status)) {
        kill(target, SIGKILL);
        while (waitpid(pid, status, 0) < 0 && errno == EINTR)
            ;
    }
    return is_set(stop) ? -EINTR : -ETIMEDOUT;
}
