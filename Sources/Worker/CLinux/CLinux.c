// Helpers over Linux system calls that Swift cannot reach.
#define _GNU_SOURCE
#include <malloc.h>
#include "CLinux.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <unistd.h>

int tern_enter_network_namespace(const char *path) {
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return -1;
    int result = setns(fd, CLONE_NEWNET);
    int saved = errno;
    close(fd);
    errno = saved;
    return result;
}

int tern_spawn_close_from(posix_spawn_file_actions_t *actions, int first) {
    int code = posix_spawn_file_actions_addclosefrom_np(actions, first);
    if (code == 0) return 0;
    errno = code;
    return -1;
}

void tern_tune_allocator(void) {
    mallopt(M_ARENA_MAX, 2);
    mallopt(M_TRIM_THRESHOLD, 16 << 20);
    mallopt(M_TOP_PAD, 1 << 20);
    mallopt(M_MMAP_THRESHOLD, 4 << 20);
}

void tern_limit_heaps(int most) { mallopt(M_ARENA_MAX, most); }

void tern_trim_heaps(void) { malloc_trim(0); }
