#!/bin/sh
# Everything that `make test` means: the packages that tests use, one release build, every test, the runner's summary last.
set -eu
cd "$(dirname "$0")/../../.."
PATH=$PATH:/usr/sbin:/sbin
want=
need() { command -v "$1" >/dev/null 2>&1 || want="$want $2"; }
need containerd containerd; need runc runc; need nft nftables; need conntrack conntrack; need ip iproute2; need nsenter util-linux
need pkg-config pkg-config; need curl curl; need mount mount
need strace strace; need mkfs.ext4 e2fsprogs
need etcdctl etcd-client; need etcd etcd-server
/usr/bin/python3 -c 'import etcd3' 2>/dev/null || want="$want python3-etcd3"
[ -e /usr/lib/cni/bridge ] || want="$want containernetworking-plugins"
[ -e /usr/include/sqlite3.h ] || want="$want libsqlite3-dev"
[ -e /usr/include/zlib.h ] || want="$want zlib1g-dev"
ls /usr/lib/*/libnftables.so.1 >/dev/null 2>&1 || want="$want libnftables1"
[ -x /bin/busybox ] || want="$want busybox-static"
if [ -n "$want" ]; then
  sudo=; [ "$(id -u)" = 0 ] || sudo=sudo
  echo "installing:$want"
  $sudo apt-get update >/dev/null
  DEBIAN_FRONTEND=noninteractive $sudo apt-get install -y --no-install-recommends --no-remove $want >/dev/null
fi
# The real kubectl drives the cluster of Tests/ClusterTests.
if tools=$(sh Sources/tern/Scripts/kubectl.sh .build/tools); then PATH=$(cd "$tools" && pwd):$PATH; export PATH
else echo "the tests of the whole cluster are left out"; fi
swift build -c release --build-tests
# One after another: the tests start servers and measure time-outs of their own, and two cores are few.
# What failed is said once more at the end, above the runner's summary: the end of a long output is what is read first.
log=.build/test.log
status=.build/test.status
rm -f "$status"
{ swift test -c release --skip-build --no-parallel --disable-testable-imports "$@" || echo "$?" >"$status"; } 2>&1 | tee "$log"
[ -e "$status" ] || exit 0
echo
echo "What failed:"
grep -a -A 3 '✘' "$log" | grep -a '✘\|↳' | grep -av 'Test run with' || echo "no test; the runner ended early, see above"
grep -a 'Test run with' "$log" | tail -n 1
exit "$(cat "$status")"
