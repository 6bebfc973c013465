#!/bin/sh
# Brings the development cluster up: checks what is needed, installs what is missing, builds, starts. May be interrupted and repeated.
set -eu
cd "$(dirname "$0")/../../.."
start=$(date +%s)
stage() { printf '[%3ds] %s\n' $(($(date +%s) - start)) "$*"; }
fail() { echo "make up: $*" >&2; exit 1; }

command -v swift >/dev/null 2>&1 || fail "swift is not on PATH; Swift 6.2 or later is needed (https://www.swift.org/install/linux/)"
version=$(swift --version 2>/dev/null | sed -n 's/.*Swift version \([0-9][0-9.]*\).*/\1/p' | head -1)
case $version in 6.[2-9]*|6.[1-9][0-9]*|[7-9].*) ;; *) fail "Swift 6.2 or later is needed; found $version" ;; esac
built=no; [ -x .build/release/tern ] && built=yes
if [ $built = no ]; then
  stage "Swift $version found. The first build takes about 10 minutes on 2 cores and 2 GB of disk; later ones seconds."
else stage "Swift $version found."; fi

sudo=
if [ "$(id -u)" != 0 ]; then
  command -v sudo >/dev/null 2>&1 || fail "root is needed for network namespaces, and sudo is not there: run this as root"
  sudo=sudo
fi

want=
need() { PATH="$PATH:/usr/sbin:/sbin" command -v "$1" >/dev/null 2>&1 || want="$want $2"; }
need containerd containerd; need ctr containerd; need runc runc; need nft nftables; need conntrack conntrack; need ip iproute2
need nsenter util-linux; need mount mount; need pkg-config pkg-config
[ -e /usr/lib/cni/bridge ] || [ -e /opt/cni/bin/bridge ] || want="$want containernetworking-plugins"
[ -e /usr/include/sqlite3.h ] || want="$want libsqlite3-dev"
[ -e /usr/include/zlib.h ] || want="$want zlib1g-dev"
ls /usr/lib/*/libnftables.so.1 /lib/*/libnftables.so.1 >/dev/null 2>&1 || want="$want libnftables1"
[ -x /bin/busybox ] && ! ldd /bin/busybox >/dev/null 2>&1 || want="$want busybox-static"
want=$(printf '%s\n' $want | sort -u | tr '\n' ' ')
if [ -n "${want# }" ]; then
  command -v apt-get >/dev/null 2>&1 || fail "these packages are missing and apt-get is not there to install them: $want"
  stage "Installing with apt-get: $want"
  # No service is started: this cluster runs its own containerd. Debian's packages ask policy-rc.d; 101 says no.
  policy=
  if [ ! -e /usr/sbin/policy-rc.d ]; then
    policy=/usr/sbin/policy-rc.d
    trap '$sudo rm -f /usr/sbin/policy-rc.d' EXIT INT TERM
    printf '#!/bin/sh\nexit 101\n' | $sudo tee $policy >/dev/null; $sudo chmod 755 $policy
  fi
  log=$(mktemp)
  { $sudo apt-get update && $sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends --no-remove $want; } >"$log" 2>&1 \
    || { tail -20 "$log" >&2; fail "apt-get failed"; }
  [ -z "$policy" ] || $sudo rm -f $policy
  trap - EXIT INT TERM
  rm -f "$log"
fi

mkdir -p .tern/log .tern/bin
command -v kubectl >/dev/null 2>&1 || [ -x .tern/bin/kubectl ] || stage "Fetching kubectl"
sh Sources/tern/Scripts/kubectl.sh .tern/bin >/dev/null || stage "Going on without kubectl: install 1.31 or later yourself"

stage "Building"
if ! swift build -c release --product tern >.tern/log/build.log 2>&1; then
  grep -E 'error:' .tern/log/build.log | sort -u | head -20 >&2
  fail "the build failed; the whole output is in .tern/log/build.log"
fi
stage "Built"
exec $sudo .build/release/tern up
