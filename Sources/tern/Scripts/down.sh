#!/bin/sh
# Removes the development cluster: processes, namespaces, mounts, cgroups, files. Needs no built binary; repeats safely after half-failed starts.
set -u
cd "$(dirname "$0")/../../.."
here=$(pwd -P)
hash=$(printf %s "$here" | sha256sum | cut -c1-6)
[ "$(id -u)" = 0 ] || { command -v sudo >/dev/null 2>&1 && exec sudo sh "$0" "$@"; echo "make down: root is needed" >&2; exit 1; }
PATH=$PATH:/usr/sbin:/sbin

cgroups() { for d in /sys/fs/cgroup/tern-$hash-* /sys/fs/cgroup/*/tern-$hash-*; do [ -d "$d" ] && echo "$d"; done; }
pids() { cgroups | while read -r d; do find "$d" -name cgroup.procs -exec cat {} + 2>/dev/null; done | sort -un; }

# Hosts that are frozen cannot die: thaw them first.
for f in /sys/fs/cgroup/freezer/tern-$hash-*/freezer.state; do [ -e "$f" ] && echo THAWED > "$f"; done
for f in /sys/fs/cgroup/tern-$hash-*/cgroup.freeze; do [ -e "$f" ] && echo 0 > "$f"; done
for f in .tern/run/*.pid; do
  [ -e "$f" ] || continue
  pid=$(sed -n 1p "$f"); born=$(sed -n 2p "$f")
  [ -n "$born" ] && [ "$(awk '{sub(/.*\) /,""); print $20}' "/proc/$pid/stat" 2>/dev/null)" = "$born" ] && kill -9 "$pid" 2>/dev/null
done
for i in 1 2 3 4 5 6 7 8 9 10; do
  list=$(pids); [ -n "$list" ] || break
  kill -9 $list 2>/dev/null; sleep 0.1
done
for n in $(ip netns list 2>/dev/null | awk '{print $1}' | grep "^tern-$hash-"); do ip netns delete "$n"; done
# Mounts of containers that a host's namespace did not take with it.
for i in 1 2 3; do awk -v p="$here/.tern/" 'index($2, p) == 1 {print $2}' /proc/mounts | sort -r | while read -r m; do umount -l "$m" 2>/dev/null; done; done
cgroups | while read -r d; do find "$d" -depth -type d -exec rmdir {} + 2>/dev/null; done
rm -rf .tern
left=$(cgroups; ip netns list 2>/dev/null | grep "tern-$hash-"; [ -e .tern ] && echo .tern)
[ -z "$left" ] || { echo "make down: these are left: $left" >&2; exit 1; }
echo "everything of this cluster is gone"
