/* The mutex of src/core/mutex.c: a word with the holder's tag and the waiters' bit, an undo log,
** death at any step, and the capped sleep after which the dead are looked for. Each participant
** goes through the section once and makes two words one greater, which must stay equal.
**
**   DIE   how many participants may be killed, before any of their steps
**   CAP   1: a sleep ends by itself; 0: only a wake-up ends it
**   OLD   a waiter that was woken takes the word without the waiters' bit
**
** Claims: whoever is inside finds the words equal and the word its own; when nobody can go on, all
** that live have been inside. Without the cap the second holds if nobody dies, with it always. */
#ifndef N
#define N 3
#endif
#ifndef DIE
#define DIE 0
#endif
#ifndef CAP
#define CAP 0
#endif
#if DIE > 0
#define MAY_DIE if :: atomic { deaths < DIE -> deaths++; dead[me] = true; goto over } :: skip fi
#else
#define MAY_DIE skip
#endif
#ifdef OLD
#define TAKE(flag) atomic { word == 0 -> word = me }
#else
#define TAKE(flag) atomic { word == 0 -> word = me; waiters = flag }
#endif

mtype = { awake, asleep, woken };
mtype state[N + 1] = awake;
byte word; /* the holder, 0: free (then the bit is clear) */
bool waiters;
bool want[N + 1], dead[N + 1], through[N + 1];
byte cleaner[N + 1];
byte logged[N + 1], old_a[N + 1], old_b[N + 1];
byte a, b, deaths, i;

inline wake_one() {
  atomic {
    if
    :: state[1] == asleep -> state[1] = woken
    :: state[2] == asleep -> state[2] = woken
#if N > 2
    :: state[3] == asleep -> state[3] = woken
#endif
    :: else
    fi
  }
}

/* mp_mutex_take_over, mutex_repair, mp_slot_leave. */
inline rescue(who) {
  if
  :: who != 0 && dead[who] ->
     atomic {
       if
       :: cleaner[who] == 0 -> cleaner[who] = me; mine = true
       :: cleaner[who] != 0 && dead[cleaner[who]] -> cleaner[who] = me; mine = true
       :: else -> mine = false
       fi
     }
     if
     :: mine ->
        MAY_DIE;
        if :: logged[who] >= 2 -> b = old_b[who] :: else fi;
        MAY_DIE;
        if :: logged[who] >= 1 -> a = old_a[who] :: else fi;
        MAY_DIE;
        logged[who] = 0;
        MAY_DIE;
        if
        :: want[who] ->
           atomic { if :: word == who -> word = 0; waiters = false :: else fi }
           MAY_DIE;
           wake_one();
           MAY_DIE;
           want[who] = false
        :: else
        fi;
        MAY_DIE;
        cleaner[who] = 0
     :: else
     fi
  :: else
  fi
}

proctype participant(byte me) {
  byte holder;
  bool mine, slept;
  want[me] = true;
  MAY_DIE;
  if
  :: TAKE(false) -> goto inside
  :: word != 0
  fi;
again:
  MAY_DIE;
  if
  :: TAKE(true) -> goto inside
  :: atomic { word != 0 -> holder = word; waiters = true }
  fi;
  MAY_DIE;
  atomic {
    if
    :: word != holder || !waiters -> goto again /* the kernel compares */
    :: else -> state[me] = asleep
    fi
  }
  if
  :: atomic { state[me] == woken -> state[me] = awake; slept = false }
  :: atomic { CAP && state[me] == asleep && (word == 0 || dead[word]) -> state[me] = awake; slept = true }
  :: atomic { deaths < DIE -> deaths++; dead[me] = true; state[me] = awake; goto over }
  fi;
  if
  :: TAKE(true) -> goto inside
  :: word != 0
  fi;
  if
  :: slept -> holder = word; rescue(holder)
  :: else
  fi;
  goto again;
inside:
  assert(a == b);
  MAY_DIE;
  atomic { old_a[me] = a; logged[me] = 1 }
  MAY_DIE;
  a++;
  MAY_DIE;
  atomic { old_b[me] = b; logged[me] = 2 }
  MAY_DIE;
  b++;
  MAY_DIE;
  logged[me] = 0; /* the commit */
  assert(word == me && a == b);
  MAY_DIE;
  atomic { slept = waiters; word = 0; waiters = false; through[me] = true }
  MAY_DIE;
  if
  :: slept -> wake_one()
  :: else
  fi;
  MAY_DIE;
  want[me] = false;
over:
  skip
}

init {
  atomic {
    for (i : 1 .. N) { run participant(i) }
  }
  timeout; /* nobody can go on */
  atomic {
    for (i : 1 .. N) { assert(dead[i] || through[i]) }
  }
}
