#!/bin/sh
# clang-tidy, cppcheck, luacheck and the size budget, over all files. A C file that has passed
# clang-tidy is not looked at again until it, a header or the settings change.
# usage: tools/lint.sh (or `make lint`)
LUA_INCDIR=${LUA_INCDIR:-/usr/include/lua5.4}
FLAGS="-std=c11 -D_GNU_SOURCE -DMP_TEST -I. -I$LUA_INCDIR -include tools/lint_errno.h"
cache=build/lint
mkdir -p "$cache"

sources=$(find src -name '*.c' | sort)
tests=$(find spec -name '*.c' | sort)

tidy_one() {
  log=$cache/$(echo "$1" | tr / _)
  sum=$(cat "$1" .clang-tidy "$0" tools/lint_errno.h $(find src spec -name '*.h' | sort) | cksum)
  [ "$(cat "$log.sum" 2>/dev/null)" != "$sum" ] || return 0
  if clang-tidy --quiet "$1" -- $FLAGS >"$log" 2>"$log.err"; then
    echo "$sum" >"$log.sum"
  else
    grep -A 2 -E '(error|warning):' "$log" "$log.err" -h
    echo "(the whole reasoning is in $log)"
    return 1
  fi
}

if [ "${1:-}" = --tidy ]; then
  tidy_one "$2"
  exit
fi

bad=0
section() { # section NAME COMMAND...: runs it, and says how it went
  name=$1
  shift
  if "$@"; then echo "$name: clean"; else echo "$name: FAILED"; bad=1; fi
}

tidy() { printf "%s\n" $sources $tests | xargs -P "${JOBS:-2}" -n 1 sh "$0" --tidy >"$cache/tidy" || { awk '!/: error:/ || !seen[$0]++' "$cache/tidy"; return 1; }; }
check() {
  [ -z "$sources" ] || cppcheck --quiet --error-exitcode=1 --std=c11 -j "${JOBS:-2}" --inline-suppr \
    --enable=warning,performance,portability --cppcheck-build-dir="$cache" --suppress=missingIncludeSystem \
    -D_GNU_SOURCE -D__x86_64__ "-D_Noreturn=__attribute__((noreturn))" -UMP_TEST -UMP_TRACE $sources
}

section clang-tidy tidy
section cppcheck check
section luacheck luacheck --quiet .
section budget "${LUA:-lua5.4}" tools/budget.lua
exit $bad
