#!/bin/sh
# Installs what is missing: `setup.sh run` what the demo needs, `setup.sh test` what the tests,
# the linters and the fuzzers need too. Fast when nothing is missing. On Debian and its kin it
# installs packages (as root, or by sudo); elsewhere it says what to install.
set -u

missing=
need() { # need PACKAGE TEST...: the package, and the command that succeeds where it is there
  package=$1
  shift
  "$@" >/dev/null 2>&1 || missing="$missing $package"
}
have_file() { ls $1 >/dev/null 2>&1; }
compiles() { printf '%s\n' "$2" | $1 -x c - -o /dev/null; }

look_run() {
  need gcc command -v cc
  need libc6-dev compiles cc '#include <stdio.h>
int main(void) { return 0; }'
  need make command -v make
  need lua5.4 command -v lua5.4
  need liblua5.4-dev have_file '/usr/include/lua5.4/lua.h'
}

look_test() {
  look_run
  need lua-busted command -v busted
  need lua-luv lua5.4 -e 'require "luv"'
  need lua-system lua5.4 -e 'require "system".monotime()'
  need lua-check command -v luacheck
  need python3 command -v python3
  need g++ command -v c++
  need valgrind command -v valgrind
  need spin command -v spin
  need clang command -v clang
  need clang-tidy command -v clang-tidy
  need cppcheck command -v cppcheck
  need procps command -v ps
  need binutils command -v nm
  command -v clang >/dev/null && major=$(clang -dumpversion | cut -d. -f1) || major=14
  need "libclang-rt-$major-dev" compiles 'clang -fsanitize=fuzzer,address' \
    '#include <stddef.h>
int LLVMFuzzerTestOneInput(const unsigned char *b, size_t n);
int LLVMFuzzerTestOneInput(const unsigned char *b, size_t n) { return b[n ? 0 : 1] * 0; }'
}

as_root() {
  if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi
}

install() {
  as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "$@" >"$log" 2>&1
}

install_missing() {
  echo "installing:$missing"
  install $missing && return
  as_root apt-get update >/dev/null 2>&1
  install $missing && return
  for package in $missing; do install "$package"; done # one unknown name must not keep the others out
}

case ${1:-} in
  run | test) look_"$1" ;;
  *) echo "usage: tools/setup.sh run|test" >&2; exit 2 ;;
esac
[ -n "$missing" ] || exit 0
if ! command -v apt-get >/dev/null; then
  echo "Please install what these Debian packages hold, then try again:$missing" >&2
  exit 1
fi
log=$(mktemp)
trap 'rm -f "$log"' EXIT
for round in 1 2; do # the second finds what depends on the version of what the first installed
  install_missing
  missing=
  look_"$1"
  [ -n "$missing" ] || exit 0
done
echo "could not install:$missing" >&2
tail -n 5 "$log" >&2
exit 1
