/* The protocol of src/core/park.h: waiters and wakers over one park, for units that are there for
** the taking. Each step that other participants can see is a statement of its own; the kernel's
** part of a futex is one atomic step, and it wakes whichever sleeper it likes.
**
**   DIE   how many participants may be killed, before any of their steps
**   CAP   1: a sleep ends by itself; 0: only a wake-up ends it
**   OLD   the protocol that takes the hint away before it wakes, which loses a wake-up
**
** Claim: when nobody can go on, nobody sleeps while there is a unit. It holds without the cap if
** nobody dies, and with it always. Memory is sequentially consistent here: what stands for that is
** the fence of mp_park_announce and the one of mp_park_wake. */
#ifndef WAITERS
#define WAITERS 2
#endif
#ifndef WAKERS
#define WAKERS 2
#endif
#ifndef DIE
#define DIE 0
#endif
#ifndef CAP
#define CAP 0
#endif
#if DIE > 0
#define MAY_DIE if :: atomic { deaths < DIE -> deaths++; goto over } :: skip fi
#else
#define MAY_DIE skip
#endif

mtype = { awake, asleep, woken };
mtype state[WAITERS] = awake; /* as the kernel's queue has it */
byte units, seq, deaths;
byte announced; /* the two parts of `waiting`, which change together: the count */
bool hint;      /* and MP_PARK_SLEEPERS */
byte i;

proctype waiter(byte me) {
  byte ticket;
again:
  ticket = seq;
  MAY_DIE;
  atomic { hint = true; announced++ }
  MAY_DIE;
  if /* the look after the announcement: it takes a unit if there is one */
  :: atomic { units > 0 -> units--; goto over }
  :: units == 0
  fi;
  MAY_DIE;
  atomic {
    if
    :: seq != ticket -> goto again
    :: else -> state[me] = asleep
    fi
  }
  if
  :: atomic { state[me] == woken -> state[me] = awake }
  :: atomic { CAP && state[me] == asleep && units > 0 -> state[me] = awake }
  :: atomic { deaths < DIE -> deaths++; state[me] = awake; goto over }
  fi;
  goto again;
over:
  skip
}

/* FUTEX_WAKE of one. */
inline wake_one(got) {
  atomic {
    got = false;
    if
    :: state[0] == asleep -> state[0] = woken; got = true
    :: state[1] == asleep -> state[1] = woken; got = true
#if WAITERS > 2
    :: state[2] == asleep -> state[2] = woken; got = true
#endif
    :: else
    fi
  }
}

proctype waker() {
  byte seen;
  bool set, got;
  atomic { units++ }
  MAY_DIE;
#ifdef OLD
  if
  :: !hint -> goto over
  :: hint
  fi;
  atomic { set = hint; hint = false }
  MAY_DIE;
  seq++;
  MAY_DIE;
  if
  :: set -> wake_one(got)
  :: else -> goto over
  fi;
  MAY_DIE;
  if
  :: got -> hint = true
  :: else
  fi;
#else
  atomic { set = hint; seen = announced }
  if
  :: !set -> goto over
  :: set
  fi;
  MAY_DIE;
  seq++;
  MAY_DIE;
  wake_one(got);
  MAY_DIE;
  atomic {
    if
    :: !got && hint && announced == seen -> hint = false
    :: else
    fi
  }
#endif
over:
  skip
}

init {
  atomic {
    for (i : 0 .. WAITERS - 1) { run waiter(i) }
    for (i : 1 .. WAKERS) { run waker() }
  }
  timeout; /* nobody can go on */
  atomic {
    for (i : 0 .. WAITERS - 1) { assert(state[i] != asleep || units == 0) }
  }
endofall:
  skip
}
