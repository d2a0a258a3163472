#!/usr/bin/env bash
# Builds the kernels with sanitizers, in folders of their own, and runs what they are to watch.
#
#   sanitize.sh address [TESTS...]   AddressSanitizer and UndefinedBehaviorSanitizer, with cc; the tests that reach kernels
#   sanitize.sh thread               ThreadSanitizer, with clang, its OpenMP and archer, which tells it what waits for what
#
# Debian: apt install clang libomp-dev libclang-rt-dev. PYTHON: an interpreter with the package's requirements.
set -euo pipefail
cd "$(dirname "$0")/../.."
PYTHON=$(realpath -s "${PYTHON:-.venv/bin/python}")

build() {  # folder, CFLAGS; then CC and LDSHARED from the environment
  CFLAGS="-O1 -g -fno-omit-frame-pointer $2" "$PYTHON" setup.py -q build --build-base "build/$1-temp" --build-lib "build/$1"
  rm -rf "build/$1/tests" && cp -r tests examples pyproject.toml README.md "build/$1"
}

address() {
  build asan -fsanitize=address,undefined
  cd build/asan
  # Python leaks on purpose; its own allocator would hide what lies beyond an array.
  export ASAN_OPTIONS=detect_leaks=0:allocator_may_return_null=1 UBSAN_OPTIONS=print_stacktrace=1:halt_on_error=1
  export PYTHONMALLOC=malloc LD_PRELOAD="$(cc -print-file-name=libasan.so) $(cc -print-file-name=libubsan.so)"
  if [ $# = 0 ]; then
    set -- $(cd tests && ls test_*.py | grep -v -e experiments -e examples | sed 's:^:tests/:') tests/robustness
  fi
  PYTHONPATH=$PWD "$PYTHON" -m pytest -p no:cacheprovider --timeout=1200 "$@"
}

thread() {
  clang=${CLANG:-clang}
  CC=$clang LDSHARED="$clang -shared -fsanitize=thread" build tsan -fsanitize=thread
  cd build/tsan
  resources=$("$clang" -print-resource-dir)
  export PYTHONPATH=$PWD LD_PRELOAD=$resources/lib/linux/libclang_rt.tsan-$(uname -m).so
  export OMP_TOOL_LIBRARIES=$resources/../../libarcher.so
  options="ignore_noninstrumented_modules=1:exitcode=66"
  TSAN_OPTIONS="$options" "$PYTHON" -m tests.robustness.races rows
  echo "row-owned update: no race"
  TSAN_OPTIONS="$options:suppressions=tests/robustness/hogwild.supp:print_suppressions=1" \
    "$PYTHON" -m tests.robustness.races hogwild
  echo "hogwild: no race but its own"
}

"$@"
