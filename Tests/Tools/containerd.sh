#!/bin/bash
# A private containerd for the kubelet's tests: its own directory, socket, network namespace and two small images made
# from busybox-static. Nothing outside DIR and the namespace is touched.
#   containerd.sh up DIR     prints what to export; then run the tests with: nsenter --net=/run/netns/tern-kubelet ...
#   containerd.sh down DIR   ends everything that `up` started
set -euo pipefail
action=${1:?up or down} dir=$(realpath -m "${2:?directory}") netns=tern-kubelet
socket=$dir/containerd.sock

config() {
  cat <<EOF
version = 2
root = "$dir/root"
state = "$dir/state"
[grpc]
  address = "$socket"
[ttrpc]
  address = "$socket.ttrpc"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "tern.local/pause:1"
  restrict_oom_score_adj = true
  disable_apparmor = true
  netns_mounts_under_state_dir = true
  stream_server_address = "127.0.0.1"
  stream_server_port = "0"
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "${CNI_BIN:-/usr/lib/cni}"
    conf_dir = "$dir/cni"
  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
      Root = "$dir/runc"
EOF
}

network() {
  cat <<EOF
{"cniVersion": "0.4.0", "name": "tern-kubelet", "plugins": [{"type": "bridge", "bridge": "cni0", "isGateway": true,
 "ipam": {"type": "host-local", "dataDir": "$dir/cni-data", "ranges": [[{"subnet": "10.244.77.0/24"}]],
 "routes": [{"dst": "0.0.0.0/0"}]}}]}
EOF
}

# image NAME CONFIG: one layer with busybox, in the archive form that `ctr images import` takes.
image() {
  local work=$dir/image digest
  rm -rf "$work" && mkdir -p "$work/root/bin" "$work/root/tmp" "$work/root/etc" "$work/out"
  cp /bin/busybox "$work/root/bin/"
  for name in $(/bin/busybox --list); do [ "$name" = busybox ] || ln -s busybox "$work/root/bin/$name"; done
  echo 'root:x:0:0::/:/bin/sh' > "$work/root/etc/passwd"
  tar -C "$work/root" --sort=name --owner=0 --group=0 --mtime=@0 -cf "$work/out/layer.tar" .
  digest=$(sha256sum "$work/out/layer.tar" | cut -d' ' -f1)
  printf '{"architecture":"%s","os":"linux","config":%s,"rootfs":{"type":"layers","diff_ids":["sha256:%s"]}}' \
    "$(uname -m | sed 's/x86_64/amd64/; s/aarch64/arm64/')" "$2" "$digest" > "$work/out/config.json"
  printf '[{"Config":"config.json","RepoTags":["%s"],"Layers":["layer.tar"]}]' "$1" > "$work/out/manifest.json"
  tar -C "$work/out" -cf "$work/image.tar" manifest.json config.json layer.tar
  ctr -a "$socket" -n k8s.io images import "$work/image.tar"
  rm -rf "$work"
}

up() {
  mkdir -p "$dir/cni"
  config > "$dir/config.toml"
  network > "$dir/cni/10-pods.conflist"
  ip netns add $netns
  ip -n $netns link set lo up
  setsid nsenter --net=/run/netns/$netns containerd -c "$dir/config.toml" > "$dir/containerd.log" 2>&1 < /dev/null &
  echo $! > "$dir/containerd.pid"
  for _ in $(seq 100); do ctr -a "$socket" version > /dev/null 2>&1 && break; sleep 0.1; done
  image tern.local/pause:1 '{"Entrypoint":["/bin/sleep","2147483647"]}'
  image tern.local/tools:1 '{"Cmd":["sleep","3600"],"Env":["PATH=/bin"]}'
  echo "export TERN_TEST_RUNTIME=unix://$socket"
}

down() {
  for task in $(ctr -a "$socket" -n k8s.io tasks ls -q); do ctr -a "$socket" -n k8s.io tasks rm -f "$task" || true; done
  kill "$(cat "$dir/containerd.pid")" || true
  sleep 1
  awk '{print $5}' /proc/self/mountinfo | grep "^$dir/" | sort -r | while read -r path; do umount -l "$path"; done || true
  ip netns del $netns
  rm -rf "$dir"
}

$action
