#!/bin/sh
# Checks the models with Spin, each in several settings. A setting marked "lost" must fail: it shows
# that the model can. The last line is "N passed, N failed".
cd "$(dirname "$0")" || exit 1
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
passed=0 failed=0

check() { # $1: holds or lost, $2: model, the rest: definitions
  expected=$1 model=$2
  shift 2
  (cd "$work" && spin -a "$@" "$OLDPWD/$model" >spin.log 2>&1 &&
    cc -O2 -DSAFETY -DCOLLAPSE -DMEMLIM=1024 -o pan pan.c 2>cc.log &&
    ./pan -E -m200000 >pan.log 2>&1)
  result=broken
  grep -q "errors: 0" "$work/pan.log" 2>/dev/null && result=holds
  grep -q "assertion violated" "$work/pan.log" 2>/dev/null && result=lost
  grep -q "Search not completed\|max search depth too small\|memory limit" "$work/pan.log" 2>/dev/null &&
    [ $result = holds ] && result=unfinished
  states=$(sed -n 's/^ *\([0-9.e+]*\) states, stored.*/\1/p' "$work/pan.log" 2>/dev/null)
  printf '%-10s %-36s %s (%s states)\n' "$model" "$*" "$result" "${states:-no}"
  if [ $result = $expected ]; then passed=$((passed + 1)); else
    failed=$((failed + 1))
    cat "$work/spin.log" "$work/pan.log" 2>/dev/null | head -20
  fi
  rm -f "$work"/*
}

check holds park.pml -DWAITERS=2 -DWAKERS=2
check holds park.pml -DWAITERS=3 -DWAKERS=2
check holds park.pml -DWAITERS=2 -DWAKERS=3
check holds park.pml -DDIE=1 -DCAP=1
check holds park.pml -DDIE=2 -DCAP=1
check lost park.pml -DDIE=1
check lost park.pml -DOLD
check holds mutex.pml -DN=3
check holds mutex.pml -DN=2 -DDIE=1 -DCAP=1
check holds mutex.pml -DN=3 -DDIE=1 -DCAP=1
check holds mutex.pml -DN=3 -DDIE=2 -DCAP=1
check lost mutex.pml -DN=3 -DDIE=1
check lost mutex.pml -DOLD
echo "$passed passed, $failed failed"
[ $failed = 0 ]
