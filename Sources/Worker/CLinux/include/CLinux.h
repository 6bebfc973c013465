// What Glibc's overlay does not show to Swift: namespaces, netlink, and a few helpers around them.
// Nothing here keeps state; every function returns -1 and sets errno on failure, as the system call does.
#pragma once
#include <linux/if_addr.h>
#include <linux/if_link.h>
#include <linux/neighbour.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <sched.h>
#include <spawn.h>
#include <sys/mount.h>
#include <sys/socket.h>

/// Moves the calling thread into the network namespace that the file at `path` names.
int tern_enter_network_namespace(const char *path);

/// Has a program that is started close every descriptor from `first` on, as posix_spawn_file_actions_addclosefrom_np.
int tern_spawn_close_from(posix_spawn_file_actions_t *actions, int first);

/// Keeps the allocator from spreading over many arenas and from asking the kernel for every page twice.
void tern_tune_allocator(void);

/// At most so many heaps for all threads together.
void tern_limit_heaps(int most);

/// Gives what is free at the heaps' ends, and whole free pages, back to the system.
void tern_trim_heaps(void);
