#!/bin/sh
# Runs test programs, fuzzers and spec files, $JOBS at a time, each within a time limit of its
# own. The last line is "N passed, N failed". One that fails shows all that it printed.
# usage: BUILD=build/test tools/check.sh PROGRAM-OR-SPEC ...
# A program that knows no cases counts as one. Programs under spec/crash and spec/fuzz share
# $SECONDS among them. $WRAPPER goes before each C test (valgrind). $MP_SLOW stretches limits.
LIMIT=$((${CHECK_LIMIT:-240} * ${MP_SLOW:-1}))
LUA=${LUA:-lua5.4}
export BUILD LUA SEED

command_of() { # $1: the file; sets the command that runs it as "$@" of run_one
  case $1 in
    *_spec.lua) echo "busted --lua=$LUA -o spec/support/output.lua $1" ;;
    */fuzz/*)
      corpus=$BUILD/corpus/$(basename "$1")
      mkdir -p "$corpus"
      seeds=spec/fuzz/corpus/$(basename "$1" _fuzz)
      [ -d "$seeds" ] || seeds=
      echo "$1 -max_total_time=$SHARE -seed=${SEED:-1} -rss_limit_mb=2048 -timeout=10" \
        "-artifact_prefix=$BUILD/log/ -print_final_stats=1 $corpus $seeds" ;;
    *) echo "$WRAPPER $1" ;;
  esac
}

sanitizer() { # the C library that has to be loaded before lua5.4 in sanitizer builds
  case $BUILD in
    *asan) echo "LD_PRELOAD=$(${CC:-cc} -print-file-name=libasan.so)" ;;
  esac
}

run_one() {
  name=$(basename "$1" .lua)
  log=$BUILD/log/$name.log
  mkdir -p "$BUILD/log"
  preload=
  case $1 in *_spec.lua) preload=$(sanitizer) ;; esac
  eval "$(make -s env BUILD="$BUILD")"
  build/run $((LIMIT + ${SHARE:-0})) $((2 * ${MP_SLOW:-1})) "$log" - "$log.end" \
    env $preload ${preload:+ASAN_OPTIONS=detect_leaks=0} SECONDS="$SHARE" $(command_of "$1")
  end=$(cat "$log.end")
  status=$(expr "$end" : '.*status = \([0-9]*\)')
  counts=$(grep -aE '^[0-9]+ passed, [0-9]+ failed$' "$log" | tail -n 1)
  [ -n "$counts" ] || { [ "$status" = 0 ] && counts='1 passed, 0 failed'; } || counts='0 passed, 1 failed'
  complaint=
  case $end in
    *'timed_out = true'*) complaint='it hung, and was stopped' ;;
    *'left = {}'*) ;;
    *) complaint='it left processes running' ;;
  esac
  case $counts in
    *' 0 failed') [ "$status" = 0 ] && [ -z "$complaint" ] || counts="${counts% 0 failed} 1 failed" ;;
  esac
  pending=$(grep -ac '^PENDING ' "$log")
  seconds=$(expr "$end" : '.*elapsed = \([0-9]*\.[0-9]\)')
  echo "$counts" >"$BUILD/log/$name.counts"
  case $counts in
    *' 0 failed')
      [ "$pending" = 0 ] && pending= || pending=", $pending pending"
      printf '%-28s %s%s  (%s s)\n' "$name" "$counts" "$pending" "$seconds" ;;
    *)
      echo "---- $name: ${complaint:-status ${status:-none, a signal ended it}}"
      tail -n 200 "$log"
      printf '%-28s %s\n' "$name" "$counts" ;;
  esac
}

if [ "$1" = --one ]; then
  run_one "$2"
  exit 0
fi
[ $# -gt 0 ] || { echo "nothing to run by that name"; echo "0 passed, 1 failed"; exit 1; }
timed=$(printf '%s\n' "$@" | grep -cE '/spec/(crash|fuzz)/')
[ "$timed" = 0 ] || SHARE=$(((${SECONDS:-60} + timed - 1) / timed))
export SHARE WRAPPER MP_SLOW
rm -f "$BUILD"/log/*.counts
printf '%s\n' "$@" | xargs -P "${JOBS:-2}" -n 1 sh "$0" --one
cat "$BUILD"/log/*.counts | awk '{p += $1; f += $3} END {print p " passed, " f " failed"; exit f > 0 || p == 0}'
