/*
** The end of a process that has children: those with a farewell (executors' supervisors) are told
** to finish and waited for, then daemons are terminated, and the others are waited for.
**
** Structure: nothing of its own; it walks the children of a context (process.c), and at exit those
** of each context that asked for it. Lock: none, as there. Invariant: nothing here runs code of the
** host or of an interpreter, as it may run when that is gone already. A daemon that does not mind
** being terminated is killed after two seconds, so that nothing is waited for in vain but a child
** that is no daemon, or that was to finish. Daemons last until that has: its tasks may need them.
** Death: who dies in here leaves what any dead parent leaves.
*/
#include <errno.h>
#include <stdlib.h>

#include "clock.h"
#include "os.h"
#include "process.h"

#define PATIENCE INT64_C(2000000000) /* 2 s */

enum group { DAEMONS, OTHERS, FINISHING };

static enum group group_of(const struct mp_process *p) {
  if (p->farewell != NULL) return FINISHING;
  return p->daemon ? DAEMONS : OTHERS;
}

/* The first child of the group. Bare copies are nobody's care. */
static struct mp_process *child_find(const struct mp_context *c, enum group group) {
  struct mp_process *p = c->children;
  while (p != NULL && (group_of(p) != group || p->copy)) p = p->next;
  return p;
}

static void farewells_say(const struct mp_context *c) {
  for (const struct mp_process *p = c->children; p != NULL; p = p->next)
    if (p->farewell != NULL) p->farewell(p->farewell_arg);
}

static void daemons_signal(const struct mp_context *c, int sig) {
  for (const struct mp_process *p = c->children; p != NULL; p = p->next)
    if (group_of(p) == DAEMONS) (void)mp_os_signal_process(p->pid, p->pidfd ? p->fd : -1, sig);
}

/* Waits for all of a group. A child that has ended leaves the list. */
static int children_wait(struct mp_context *c, enum group group, mp_deadline until) {
  int r = 0;
  for (struct mp_process *p; r == 0 && (p = child_find(c, group)) != NULL;)
    r = mp_process_wait_quietly(p, until);
  return r;
}

void mp_process_finish(mp_context *c) {
  mp_os_flush();
  if (mp_process_reap(c) == 0) return;
  /* nobody is left who would do something else with Ctrl-C than end */
  mp_os_signal_reset(MP_OS_INTERRUPT);
  farewells_say(c);
  (void)children_wait(c, FINISHING, MP_FOREVER);
  daemons_signal(c, MP_OS_TERMINATE);
  (void)children_wait(c, OTHERS, MP_FOREVER);
  if (children_wait(c, DAEMONS, mp_clock_after(PATIENCE)) != MP_TIMEOUT) return;
  daemons_signal(c, MP_OS_KILL);
  (void)children_wait(c, DAEMONS, MP_FOREVER);
}

void mp_process_exit(mp_context *c, int status) {
  mp_process_finish(c);
  mp_os_flush();
  if (mp_context_valid(c)) mp_context_end(c, status & 255);
  mp_os_exit(status);
}

static void finish_if_asked(struct mp_context *c) {
  if (c->finishes) mp_process_finish(c);
}

static void finish_all(void) {
  mp_context_each(finish_if_asked);
}

int mp_process_finish_at_exit(mp_context *c) {
  static bool registered; /* for the life of the process; a fork's child inherits both */
  if (!registered && atexit(finish_all) != 0) return -ENOMEM;
  registered = true;
  c->finishes = true;
  return 0;
}
