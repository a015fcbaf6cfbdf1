#!/bin/sh
# Builds the image and starts it, on Debian and without a container engine: buildah with chroot isolation, on a base made
# by debootstrap. Needs root, and: apt-get install buildah debootstrap
#
#   dev/image/build.sh [BASE]     BASE: an image to pull instead of the debootstrapped one
#
# WORK (default /var/tmp/policyhub-image) keeps the base between runs. PIP_CONF and CA name pip's settings for the build,
# where it needs any; by default what pip uses here. They stay out of the image, which the end of this script checks.
set -eu

project=$(cd "$(dirname "$0")/../.." && pwd)
work=${WORK:-/var/tmp/policyhub-image}
suite=${SUITE:-bookworm}
tag=${TAG:-policyhub:dev}

say() { printf '%5ss  %s\n' "$(($(date +%s) - started))" "$*"; }
buildah() { command buildah --storage-driver vfs --root "$work/store" --runroot "$work/run" "$@"; }
started=$(date +%s)

secrets=$(mktemp -d)
container=
trap 'rm -rf "$secrets"; [ -z "$container" ] || buildah rm "$container" >/dev/null' EXIT
mkdir -p "$work"

if [ $# -gt 0 ]; then
  base=$1
else
  base=localhost/policyhub-base:$suite
  if ! buildah inspect --type image "$base" >/dev/null 2>&1; then
    say "Debian $suite with Python, once, in about a minute"
    [ -e "$work/$suite.done" ] || {
      rm -rf "${work:?}/$suite"
      debootstrap --variant=minbase --include=python3,python3-venv "$suite" "$work/$suite" >"$work/debootstrap.log"
      rm -rf "$work/$suite"/var/cache/apt/* "$work/$suite"/var/lib/apt/lists/* "$work/$suite"/var/log/*
      rm -f "$work/$suite/etc/resolv.conf" "$work/$suite/etc/hostname"
      : >"$work/$suite.done"
    }
    container=$(buildah from scratch)
    buildah add --quiet "$container" "$work/$suite" / >/dev/null
    buildah commit --quiet "$container" "$base" >/dev/null
    buildah rm "$container" >/dev/null
    container=
  fi
fi

# pip's settings, with the path of the CA as the build sees it.
umask 077
if [ -n "${PIP_CONF:-}" ]; then
  cp "$PIP_CONF" "$secrets/pip.conf"
else
  python3 - >"$secrets/pip.conf" <<'PYTHON'
import subprocess, sys

listing = subprocess.run([sys.executable, "-m", "pip", "config", "list"], capture_output=True, text=True).stdout
print("[global]")
for line in listing.splitlines():
    name, _, value = line.partition("=")
    name = name.rpartition(".")[2]
    if name in {"index-url", "extra-index-url", "trusted-host", "default-timeout", "proxy"}:
        print(f"{name} = {value[1:-1]}")
PYTHON
fi
ca=${CA:-${PIP_CERT:-/etc/ssl/certs/ca-certificates.crt}}
if [ -f "$ca" ]; then
  cp "$ca" "$secrets/ca.pem"
  grep -q '^cert' "$secrets/pip.conf" || echo "cert = /run/secrets/ca.pem" >>"$secrets/pip.conf"
else
  : >"$secrets/ca.pem"
fi

say "the image, on $base"
buildah build --quiet --isolation chroot --layers=false --build-arg "BASE=$base" \
  --build-arg "VERSION=$(sed -n 's/^__version__ = "\(.*\)"$/\1/p' "$project/operator/policyhub/__init__.py")" \
  --build-arg "REVISION=$(git -C "$project" rev-parse HEAD 2>/dev/null || true)" \
  --secret "id=pip.conf,src=$secrets/pip.conf" --secret "id=ca.pem,src=$secrets/ca.pem" \
  --ignorefile "$project/.dockerignore" --file "$project/Dockerfile" --tag "$tag" "$project" >/dev/null
buildah rmi --prune --force >/dev/null 2>&1 || true # what the last build left

say "it starts"
container=$(buildah from --pull-never "localhost/$tag")
root=$(buildah mount "$container")
inside() { command buildah --storage-driver vfs --root "$work/store" --runroot "$work/run" run --isolation chroot "$container" -- "$@"; }
inside python -c 'import os; assert os.getuid() == os.getgid() == 65532, (os.getuid(), os.getgid())'
inside python -c 'import policyhub, boto3, kopf; print("policyhub", policyhub.__version__)'
status=0
inside policyhub --version >/dev/null || { echo "  policyhub does not start"; status=1; }

say "what it must not hold"
for name in pip setuptools ensurepip hatchling; do
  if inside python -c "import $name" >/dev/null 2>&1; then echo "  $name is in the image"; status=1; fi
done
for path in src tools dist run/secrets etc/pip.conf; do
  [ ! -e "$root/$path" ] || { echo "  /$path is in the image"; status=1; }
done
sed -n 's/^\(extra-\)\{0,1\}index-url *= *//p' "$secrets/pip.conf" >"$secrets/indexes"
while read -r index; do
  if grep -rqsF -- "$index" "$root/opt" "$root/etc" "$root/root"; then echo "  the package index is in the image"; status=1; fi
done <"$secrets/indexes"
[ "$(find "$root/opt" -xdev ! -user root | wc -l)" = 0 ] || { echo "  /opt is not root's alone"; status=1; }

say "done: $(du -sm "$root" | cut -f1) MB, of which policyhub $(du -sm "$root/opt/policyhub" | cut -f1) MB"
exit $status
