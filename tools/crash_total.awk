# Sums up what the programs of crash enumeration say at their ends ("crash total: ..."). Last line of
# `make crash`. every: the value of CRASH_EVERY.
/^crash total: / { operations += $3; points += $5; worlds += $7; failures += $9 }
END {
  if (operations == 0) exit
  how = every > 1 ? "every " every "th of the repairs" : "all enumerated"
  print operations " operations: " points " crash points, " worlds " worlds, " failures \
    " failed allocations and calls, " how
}
