#!/bin/sh
# Builds the image and checks it, on Debian and without a container engine: buildah with chroot isolation, on a base made
# by debootstrap. Needs root, and: apt-get install buildah debootstrap
#
#   dev/image/build.sh [--twice] [--keep FOLDER] [BASE]
#
#   --twice         build it a second time, from nothing, and compare: the same layers, or exit code 1
#   --keep FOLDER   leave the image's root file system and configuration there, for python -m dev.demo --image FOLDER
#   BASE            an image to pull instead of the debootstrapped one
#
# WORK (default /var/tmp/policyhub-image) keeps the base between runs. PIP_CONF and CA name pip's settings for the build,
# where it needs any; by default what pip uses here. They stay out of the image, which the end of this script checks.
# SOURCE_DATE_EPOCH (default: the time of the commit) is the time of everything in the image.
set -eu

project=$(cd "$(dirname "$0")/../.." && pwd)
work=${WORK:-/var/tmp/policyhub-image}
suite=${SUITE:-trixie}
tag=${TAG:-policyhub:dev}
epoch=${SOURCE_DATE_EPOCH:-$(git -C "$project" log -1 --format=%ct 2>/dev/null || echo 0)}
revision=$(git -C "$project" rev-parse HEAD 2>/dev/null || true)
version=$(sed -n 's/^__version__ = "\(.*\)"$/\1/p' "$project/operator/policyhub/__init__.py")
twice=
keep=
while [ $# -gt 0 ]; do
  case $1 in
    --twice) twice=yes ;;
    --keep) keep=$2 && shift ;;
    *) break ;;
  esac
  shift
done

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
      debootstrap --variant=minbase --include=python3,python3-venv,ca-certificates "$suite" "$work/$suite" >"$work/debootstrap.log"
      rm -rf "$work/$suite"/var/cache/apt/* "$work/$suite"/var/lib/apt/lists/* "$work/$suite"/var/log/*
      rm -f "$work/$suite/etc/resolv.conf" "$work/$suite/etc/hostname"
      : >"$work/$suite.done"
    }
    container=$(buildah from scratch)
    buildah add --quiet "$container" "$work/$suite" / >/dev/null
    buildah commit --quiet "$container" "$base" >/dev/null
    buildah rm "$container" >/dev/null
    container=
    rm -rf "${work:?}/$suite" "$work/$suite.done"
  fi
fi

# pip's settings, with the path of the CA as the build sees it.
umask 077
if [ -n "${PIP_CONF:-}" ]; then
  cp "$PIP_CONF" "$secrets/pip.conf"
else
  python3 - >"$secrets/pip.conf" <<'PYTHON'
import subprocess
import sys

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
umask 022

build() {
  buildah build --quiet --isolation chroot --layers=false --timestamp "$epoch" \
    --build-arg "BASE=$base" --build-arg "SOURCE_DATE_EPOCH=$epoch" \
    --build-arg "VERSION=$version" \
    --build-arg "REVISION=$revision" \
    --secret "id=pip.conf,src=$secrets/pip.conf" --secret "id=ca.pem,src=$secrets/ca.pem" \
    --ignorefile "$project/.dockerignore" --file "$project/Dockerfile" --tag "$1" "$project" >/dev/null
  buildah rmi --prune --force >/dev/null 2>&1 || true # what the last build left
}
layers() { buildah inspect --type image --format '{{.OCIv1.RootFS.DiffIDs}} {{.FromImageDigest}}' "localhost/$1"; }

say "the image, on $base"
build "$tag"
status=0
if [ -n "$twice" ]; then
  say "once more"
  build "$tag-again"
  if [ "$(layers "$tag")" = "$(layers "$tag-again")" ]; then
    say "the same layers: $(layers "$tag")"
  else
    say "DIFFERENT layers: $(layers "$tag") and $(layers "$tag-again")"
    status=1
  fi
fi

say "what it holds"
container=$(buildah from --pull-never "localhost/$tag")
root=$(buildah mount "$container")
chroot=$(command -v chroot)
inside() { env -i PATH=/opt/policyhub/bin LANG=C.UTF-8 "$chroot" --userspec=65532:65532 "$root" "$@"; }
fail() { echo "  $*" && status=1; }
inside python -c 'import os; assert os.getuid() == os.getgid() == 65532, (os.getuid(), os.getgid())' || fail "no Python"
inside python -c 'import ssl; assert ssl.create_default_context().cert_store_stats()["x509_ca"] > 50' || fail "no authorities"
inside policyhub --version || fail "policyhub does not start"
inside python -c 'from importlib.metadata import distributions as d; print(*(f"{x.name} {x.version}" for x in d()), sep="\n")' |
  tr 'A-Z_' 'a-z-' | sort >"$secrets/found"
{
  sed -n '/win32/d; s/^\([a-z][a-z0-9-]*\)==\([^ ]*\).*/\1 \2/p' "$project/requirements/run.lock"
  echo "policyhub $version"
} | sort >"$secrets/locked"
diff "$secrets/locked" "$secrets/found" || fail "the packages are not those of run.lock"
for name in pip setuptools ensurepip hatchling venv; do
  ! inside python -c "import $name" >/dev/null 2>&1 || fail "$name is in the image"
done
for path in bin usr/bin/sh usr/bin/dash usr/bin/bash usr/bin/apt usr/bin/dpkg src tools dist run/secrets etc/pip.conf; do
  [ ! -e "$root/$path" ] || fail "/$path is in the image"
done
sed -n 's/^\(extra-\)\{0,1\}index-url *= *//p' "$secrets/pip.conf" >"$secrets/indexes"
while read -r index; do
  ! grep -rqsF -- "$index" "$root" || fail "the package index is in the image"
done <"$secrets/indexes"
[ -z "$(find "$root" -xdev ! -user root)" ] || fail "not all files are root's"
[ -z "$(find "$root" -xdev -perm /6000)" ] || fail "programs that change the user: $(find "$root" -xdev -perm /6000)"
[ -z "$(find "$root" -xdev ! -type l -perm /022 ! -path "$root/tmp")" ] || fail "others than root may write"
if [ -n "$keep" ]; then
  rm -rf "${keep:?}/root"
  mkdir -p "$keep"
  cp -a "$root" "$keep/root"
  buildah inspect --type image "localhost/$tag" |
    python3 -c 'import json, sys; json.dump(json.load(sys.stdin)["OCIv1"]["config"], sys.stdout)' >"$keep/config.json"
fi

size() { du -sm "$1" | cut -f1; }
say "done: $(size "$root") MB, of which policyhub $(size "$root/opt/policyhub") MB, $(find "$root/var/lib/dpkg/status.d" -type f | wc -l) packages of Debian"
exit $status
