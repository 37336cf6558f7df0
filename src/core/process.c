/*
** Process: children of this process, from fork to reaping.
**
** Structure: a private record for each child in its context's list, until the child is reaped; the
** user's handle is the same record. The child has a slot in the process table, which outlives it
** until its parent has collected it.
** Lock: none; a context is used by one thread at a time. Nothing here is shared but the slot's word
** `ended`, written once by the child itself.
** Invariant: we wait for this pid alone, never for -1, and handle no SIGCHLD. Until we have seen
** its end, a pidfd keeps a signal from reaching a stranger with the same pid.
** Death: a child's end makes its pidfd readable, whatever it was doing; its slot tells what has to
** be cleaned, and its status where the host was faster to reap it. A parent that dies leaves its
** children to init; daemons are on a leash (process_leash.c). A fork's records of its parent's
** children are recognised by their generation, and dropped.
*/
#include "process.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "os.h"

#define LOOK_EVERY INT64_C(500000000) /* a signal may come right before a sleep: 500 ms */
#define NAP_FIRST INT64_C(1000000)    /* without a descriptor to sleep on: 1 ms doubling */
#define NAP_LAST INT64_C(50000000)    /* to 50 ms */
#define UNKNOWN_STATUS 255

/* private; this process as somebody's child */
static struct {
  int32_t starter; /* pid of who has started it; 0: nobody */
  int32_t forked_by; /* who is its parent while the starter lives */
  bool tied;       /* a pool's worker, or below one: ends with its parent, daemon or not */
  bool alone;      /* it runs nothing of its host's (mp_process_runs_no_host) */
  int life;        /* where pidfds are absent: a pipe's end that closes when we end; or 0 */
  int pidfds;      /* whether the system has them: 0 not known yet, 1, -1 */
  struct mp_process *spare; /* a record to be used again, or NULL */
} self;

static bool process_foreign(const struct mp_process *p) {
  return p->context == NULL || p->generation != p->context->guard_value ||
         !mp_context_valid(p->context);
}

/* ---- the end of a child ---- */

static void process_unlink(struct mp_process *p) {
  struct mp_process **at = &p->context->children;
  while (*at != NULL && *at != p) at = &(*at)->next;
  if (*at == p) *at = p->next;
}

static void process_free(struct mp_process *p) {
  mp_os_close(p->fd);
  free(p);
}

/* The child has ended and is reaped. A record that no user has goes with it. */
static void process_ended(struct mp_process *p, bool known, int status) {
  uint32_t ended = known ? mp_slot_ended_word(status) : 0;
  if (!p->starter) {
    mp_context_collect(p->context, p->tag, &ended);
    process_unlink(p);
  }
  p->ended = true;
  p->known = ended != 0;
  p->status = p->known ? mp_slot_ended_status(ended) : UNKNOWN_STATUS;
  if (!p->lent) p->fd = mp_os_close(p->fd);
  if (!p->kept) process_free(p);
}

/* 0: it has ended; it is no longer looked at, and p may be gone. MP_TIMEOUT: it runs. */
static int process_look(struct mp_process *p) {
  int status = UNKNOWN_STATUS;
  if (p->starter) {
    if (mp_os_parent_pid() == self.forked_by) return MP_TIMEOUT;
    process_ended(p, false, status);
    return 0;
  }
  int r = mp_os_wait_child(p->pid, p->pidfd ? p->fd : -1, 1, &status);
  if (r == MP_TIMEOUT) return r;
  process_ended(p, r == 0, status);
  return 0;
}

/* Sleeps until the child may have ended, or `until`. -EINTR: a signal came. */
static int process_sleep(const struct mp_process *p, mp_deadline until, unsigned nap) {
  int64_t longest = LOOK_EVERY;
  int64_t shortest = nap < 6 ? NAP_FIRST << nap : NAP_LAST;
  int r = p->fd < 0 ? 1 : mp_os_wait_readable(p->fd, mp_clock_cap(until, longest));
  /* A pipe may have closed early, by the child's own hand. */
  if (r > 0 && !p->pidfd) r = mp_os_wait_readable(-1, mp_clock_cap(until, shortest));
  return r < 0 ? r : 0;
}

static bool process_interrupted(const struct mp_context *c) {
  return c->interrupted != NULL && c->interrupted(c->interrupted_arg) != 0;
}

static int process_wait(struct mp_process *p, mp_deadline until, bool quietly) {
  if (p->ended) return 0;
  if (process_foreign(p)) return -ECHILD;
  struct mp_context *c = p->context;
  if ((until == MP_NOW || !p->pidfd) && process_look(p) == 0) return 0;
  for (unsigned nap = 0; until > MP_NOW; nap++) {
    int64_t before = mp_clock_now();
    int r = process_sleep(p, until, nap);
    if (process_look(p) == 0) return 0;
    int64_t now = mp_clock_now();
    if (until <= now) break;
    bool slept = now - before >= LOOK_EVERY;
    if (!quietly && (r == -EINTR || slept || p->fd < 0) && process_interrupted(c))
      return MP_INTERRUPTED;
    if (slept && c->tend != NULL) c->tend(c);
  }
  return MP_TIMEOUT;
}

int mp_process_join(mp_process *p, mp_deadline until) {
  return process_wait(p, until, false);
}

int mp_process_wait_quietly(struct mp_process *p, mp_deadline until) {
  return process_wait(p, until, true);
}

int mp_process_exit_code(mp_process *p, int *code) {
  int r = process_wait(p, MP_NOW, true);
  if (r != 0) return r;
  if (!p->known) return MP_LOST;
  *code = p->status;
  return 0;
}

int mp_process_signal(mp_process *p, int signal_number) {
  int r = process_wait(p, MP_NOW, true);
  if (r != MP_TIMEOUT) return r;
  r = mp_os_signal_process(p->pid, p->pidfd ? p->fd : -1, signal_number);
  return r == -ESRCH ? 0 : r;
}

/* ---- handles ---- */

/* A descriptor that is readable now and for ever. */
static int sentinel_of_ended(int *fd) {
  int r = mp_os_eventfd(fd);
  return r == 0 ? mp_os_eventfd_post(*fd) : r;
}

int mp_process_sentinel(mp_process *p, int *fd) {
  int r = 0;
  if (!p->ended && process_foreign(p)) return -ECHILD;
  if (p->fd < 0 && !p->ended) {
    r = mp_os_pidfd(p->pid, &p->fd);
    p->pidfd = r == 0;
    if (r == -ESRCH && process_look(p) == 0) r = 0;
  }
  if (p->fd < 0 && p->ended) r = sentinel_of_ended(&p->fd);
  if (r != 0) return r;
  p->lent = true;
  *fd = p->fd;
  return 0;
}

int mp_process_id(const mp_process *p) {
  return p->pid;
}

mp_process *mp_process_close(mp_process *p) {
  if (p == NULL) return NULL;
  p->kept = false;
  if (p->ended || p->starter || p->context == NULL) process_free(p);
  return NULL;
}

/* Children of our parent, as its fork has left them to us. */
void mp_process_disown(struct mp_context *c) {
  struct mp_process **at = &c->children;
  while (*at != NULL) {
    struct mp_process *p = *at;
    if (!process_foreign(p)) {
      at = &p->next;
      continue;
    }
    *at = p->next;
    p->fd = mp_os_close(p->fd);
    p->context = NULL;
    if (!p->kept) free(p);
  }
}

int mp_process_reap(mp_context *c) {
  int running = 0;
  mp_process_disown(c);
  for (struct mp_process *p = c->children, *next; p != NULL; p = next) {
    next = p->next;
    if (process_look(p) == MP_TIMEOUT && !p->copy) running++;
  }
  return running;
}

void mp_process_abandon(mp_context *c) {
  mp_process_disown(c);
  for (struct mp_process *p = c->children, *next; p != NULL; p = next) {
    next = p->next;
    p->context = NULL;
    if (!p->kept) process_free(p);
  }
  c->children = NULL;
}

/* ---- the beginning ---- */

struct birth {
  const mp_process_options *options;
  int32_t parent;
  bool by_main_thread;
  bool alone; /* self.alone of the parent */
  int stdin_state; /* of the parent's (mp_os_stdin_state) */
  int life[2]; /* a pipe in place of a pidfd, or -1 */
};

/* The parent's record is of no use in the child. It is kept for the first child of its own: to free
** it would cost a page or two of the allocator. */
static struct mp_process *record_new(void) {
  struct mp_process *p = self.spare != NULL ? self.spare : malloc(sizeof *p);
  self.spare = NULL;
  if (p != NULL) *p = (struct mp_process){.fd = -1, .kept = true};
  return p;
}

static bool have_pidfds(void) {
  if (self.pidfds == 0) {
    int fd = -1, r = mp_os_pidfd(mp_os_pid(), &fd);
    mp_os_close(fd);
    if (r != 0 && r != -ENOSYS) return true; /* no descriptor just now: nothing is known */
    self.pidfds = r == 0 ? 1 : -1;
  }
  return self.pidfds > 0;
}

static int birth_prepare(const mp_process_options *o, struct birth *b) {
  *b = (struct birth){.options = o, .parent = mp_os_pid(), .life = {-1, -1}};
  b->by_main_thread = (o->daemon || self.tied) && mp_os_tid() == b->parent;
  b->alone = self.alone;
  if (!o->copy && !b->alone) b->stdin_state = mp_os_stdin_state();
  return have_pidfds() ? 0 : mp_os_pipe(b->life);
}

static void birth_undo(struct birth *b) {
  mp_os_close(b->life[0]);
  mp_os_close(b->life[1]);
}

/* The child forgets what was its parent's, and says who it is. Signals are blocked still. */
static void child_settle(struct mp_context *c, const struct birth *b) {
  const mp_process_options *o = b->options;
  mp_process_disown(c);
  mp_os_close(b->life[0]);
  if (self.life > 0) mp_os_close(self.life);
  self.life = b->life[1];
  for (size_t i = 0; o->name != NULL && i < MP_SLOT_NAME - 1 && o->name[i] != '\0'; i++)
    c->slot->name[i] = o->name[i];
  if (o->copy) return;
  self.starter = self.forked_by = b->parent;
  if (o->daemon || self.tied) mp_process_leash(b->parent, b->by_main_thread);
  if (o->born != NULL) o->born(o->arg);
  self.alone = false;
  if (b->alone) return;
  (void)mp_os_stdin_null(b->stdin_state); /* no null device: then it reads what its parent reads */
  mp_os_signals_reset(o->interrupt);
}

static void parent_settle(struct mp_context *c, struct mp_process *p, const struct birth *b) {
  mp_os_close(b->life[1]);
  p->fd = b->life[0];
  if (p->fd < 0) p->pidfd = mp_os_pidfd(p->pid, &p->fd) == 0;
  p->context = c;
  p->generation = c->guard_value;
  p->daemon = b->options->daemon;
  p->copy = b->options->copy;
  p->next = c->children;
  c->children = p;
}

/* fork with no signal handler in the child and no buffer doubled. 0 in both processes. */
static int process_fork(struct mp_context *c, struct mp_process *p, struct birth *b) {
  struct mp_os_mask mask;
  int pid = -1;
  uint32_t tag = 0;
  mp_os_flush();
  mp_os_signals_block(&mask);
  int r = mp_context_fork(c, true, &pid, &tag);
  if (r == 0 && pid == 0 && !mp_context_valid(c)) r = MP_LOST;
  if (r == 0 && pid == 0) child_settle(c, b);
  if (r == 0 && pid != 0) {
    p->pid = pid;
    p->tag = tag;
    parent_settle(c, p, b);
  }
  if (pid != 0 || b->options->copy || b->alone || r != 0) mp_os_signals_restore(&mask);
  return r;
}

int mp_process_start(mp_context *c, const mp_process_options *o, mp_process **out) {
  struct birth b;
  (void)mp_process_reap(c);
  struct mp_process *p = record_new();
  if (p == NULL) return -ENOMEM;
  int r = birth_prepare(o, &b);
  if (r == 0) {
    r = process_fork(c, p, &b);
    if (r < 0) birth_undo(&b);
  }
  bool child = p->pid == 0; /* or nothing was forked */
  if (child) self.spare = p;
  if (r == 0) *out = child ? NULL : p;
  return r;
}

void mp_process_started_by(int32_t pid) {
  self.starter = pid;
  self.tied = true;
}

void mp_process_runs_no_host(void) {
  self.alone = true;
}

int mp_process_parent(mp_context *c, mp_process **out) {
  if (self.starter == 0) return -ESRCH;
  struct mp_process *p = record_new();
  if (p == NULL) return -ENOMEM;
  p->context = c;
  p->generation = c->guard_value;
  p->pid = self.starter;
  p->starter = true;
  p->pidfd = mp_os_pidfd(p->pid, &p->fd) == 0;
  (void)process_look(p); /* ended: then the descriptor may be a stranger's, and is closed */
  *out = p;
  return 0;
}
