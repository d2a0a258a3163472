#!/usr/bin/env bash
# Builds a wheel for arm64 with a cross compiler and runs it on qemu: the tests of the kernels, and a training whose weights
# must be the same with NEON and without. It needs no root, but, once, on Debian or Ubuntu:
#
#   dpkg --add-architecture arm64 && apt update && apt install gcc-aarch64-linux-gnu libc6-dev-arm64-cross qemu-user
#
#   arm64.sh [TESTS...]   PYTHON: an interpreter with the package's build requirements
set -euo pipefail
cd "$(dirname "$0")/.."
PYTHON=$(realpath -s "${PYTHON:-.venv/bin/python}")
HERE=$PWD/build/arm64
TESTS="test_bfloat16.py test_data_parse.py test_full_kernels.py test_hashing.py test_optim.py test_rows.py
       test_sampled_kernels.py test_sampling.py test_tables.py"

skip() { echo "arm64: skipped, $1"; exit 0; }
command -v aarch64-linux-gnu-gcc >/dev/null || skip "there is no aarch64-linux-gnu-gcc (apt install gcc-aarch64-linux-gnu)"
command -v qemu-aarch64 >/dev/null || skip "there is no qemu-aarch64 (apt install qemu-user)"
apt-cache show libc6:arm64 >/dev/null 2>&1 || skip "apt knows no arm64 (dpkg --add-architecture arm64 && apt update)"

interpreter() {  # Debian's Python for arm64, unpacked into a folder
  minor=$(apt-cache depends python3-minimal:arm64 | grep -o 'python3\.[0-9]*' | head -1 | cut -d. -f2)
  test -x "$HERE/root/usr/bin/python3.$minor" && return
  mkdir -p "$HERE/debs" "$HERE/root"
  packages=$(apt-cache depends --recurse --no-recommends --no-suggests --no-conflicts --no-breaks --no-replaces \
    --no-enhances "python3.$minor-minimal:arm64" "libpython3.$minor-stdlib:arm64" libgomp1:arm64 libstdc++6:arm64 |
    grep -E '^[a-z].*:arm64$' | grep -v -E '^(dpkg|tar|install-info|perl)' | sort -u)
  (cd "$HERE/debs" && apt-get download -qq $packages "libpython3.$minor-dev:arm64")
  for package in "$HERE"/debs/*.deb; do dpkg-deb -x "$package" "$HERE/root"; done
}

requirements() {  # wheels for arm64, and of slide the one that is built here
  export CC="aarch64-linux-gnu-gcc -I$HERE/root/usr/include"  # Debian's own Python looks for a header of arm64 there
  export LDSHARED="aarch64-linux-gnu-gcc -shared" _PYTHON_HOST_PLATFORM=linux-aarch64
  "$PYTHON" setup.py -q bdist_wheel --dist-dir "$HERE/dist"
  unset CC LDSHARED _PYTHON_HOST_PLATFORM
  rm -rf "$HERE/site/slide"*
  test -d "$HERE/site/numpy" || "$PYTHON" -m pip install --quiet --disable-pip-version-check --target "$HERE/site" \
    --only-binary=:all: --python-version "3.$minor" --platform manylinux2014_aarch64 --platform manylinux_2_28_aarch64 \
    --platform manylinux_2_27_aarch64 'numpy>=1.26' 'scipy>=1.11' threadpoolctl tqdm pytest pytest-timeout hypothesis
  (cd "$HERE/site" && "$PYTHON" -m zipfile -e "$HERE"/dist/*aarch64.whl .)
}

on_arm() { qemu-aarch64 -L "$HERE/root" "$HERE/root/usr/bin/python3.$minor" "$@"; }

checksum() {  # of the weights after a few batches
  SLIDE_SIMD=$1 on_arm - <<'END'
import zlib
import numpy as np
import slide
from slide.data import make_xmc

(X, Y), _ = make_xmc("amazon-670k", n_train=400, n_test=10, scale=0.003)
check = 0
for hash in ("simhash", "wta", "dwta", "minhash", "cross-polytope", "ranged"):
    layers = [slide.Dense(32), slide.Sampled(Y.shape[1], active=100, K=4, L=8, hash=hash)]
    network = slide.Network(X.shape[1], layers, batch_size=100, threads=2).fit(X, Y, epochs=2)
    for layer in network.layers:
        check = zlib.crc32(np.ascontiguousarray(layer.weights).data, check)
    check = zlib.crc32(network.predict(X)[0].data, check)
info = slide.build_info()
print(f"{info['machine']}, {info['simd']}, OpenMP {info['openmp']}: weights {check:08x}")
END
}

interpreter
requirements
rm -rf "$HERE/run" && mkdir "$HERE/run" && cp -r tests examples experiments pyproject.toml "$HERE/run" && cd "$HERE/run"
export PYTHONPATH="$HERE/site" PYTHONDONTWRITEBYTECODE=1
neon=$(checksum neon) plain=$(checksum plain)
printf '%s\n%s\n' "$neon" "$plain"
test "${neon##* }" = "${plain##* }" || { echo "arm64: NEON and plain differ"; exit 1; }
test $# != 0 || set -- $(printf 'tests/%s ' $TESTS)
on_arm -m pytest -p no:cacheprovider --timeout=3600 --hypothesis-profile=quick "$@"
