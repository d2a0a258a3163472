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
  CFLAGS="${LEVEL:--O1} -g1 -fno-omit-frame-pointer $2" "$PYTHON" setup.py -q build --build-base "build/$1-temp" --build-lib "build/$1"
  rm -rf "build/$1/"{tests,experiments} && cp -r tests examples experiments pyproject.toml README.md "build/$1"
}

address() {
  build asan -fsanitize=address,undefined
  cd build/asan
  # Python leaks on purpose; its own allocator would hide what lies beyond an array.
  export ASAN_OPTIONS=detect_leaks=0:allocator_may_return_null=1 UBSAN_OPTIONS=print_stacktrace=1:halt_on_error=1
  export PYTHONMALLOC=malloc LD_PRELOAD="$(cc -print-file-name=libasan.so) $(cc -print-file-name=libubsan.so)"
  if [ $# = 0 ]; then
    set -- $(grep -LE "^from experiments|^import experiments|examples" tests/test_*.py) tests/robustness
  fi
  PYTHONPATH=$PWD "$PYTHON" -m pytest -p no:cacheprovider --timeout=1200 "$@"
}

interpreter() {  # ./python, with the sanitizer's runtime in it: loaded later, by LD_PRELOAD, some of them crash
  eval "$("$PYTHON" - <<'END'
import sys, sysconfig
of, paths = sysconfig.get_config_var, sysconfig.get_paths()
print(f"include='{paths['include']}' library='{of('LIBDIR')}' version='{of('LDVERSION')}'")
print(f"libraries='{of('LIBS')} {of('SYSLIBS')}' PYTHONHOME='{sys.base_prefix}' packages='{paths['purelib']}'")
END
  )"
  export PYTHONHOME PYTHONPATH=$PWD:$packages
  printf '#include <Python.h>\nint main(int n, char **words) { return Py_BytesMain(n, words); }\n' |
    "$1" -fsanitize=thread -rdynamic -I"$include" -x c - -L"$library" -Wl,-rpath,"$library" -l"python$version" \
      $libraries -lm -o python
}

thread() {
  clang=${CLANG:-clang}
  CC=$clang LDSHARED="$clang -shared -fsanitize=thread" build tsan -fsanitize=thread
  cd build/tsan
  interpreter "$clang"
  OMP_TOOL_LIBRARIES=$("$clang" -print-resource-dir)/../../libarcher.so
  export OMP_TOOL_LIBRARIES
  options="ignore_noninstrumented_modules=1:exitcode=66"
  TSAN_OPTIONS="$options" ./python -m tests.robustness.races rows
  echo "row-owned update: no race"
  TSAN_OPTIONS="$options:suppressions=tests/robustness/hogwild.supp:print_suppressions=1" \
    ./python -m tests.robustness.races hogwild
  echo "hogwild: no race but its own"
}

"$@"
