/*
** Waiting for several things at once: objects by their bells, and descriptors.
**
** Structure: none that is shared; the bells stay on their objects for the next time. Objects are
** looked at before each sleep, so a ring only says that another look is due; while objects are
** among the things, no sleep is longer than half a second, as a ringer may have died before it
** rang, and the dead are looked for after each such nap.
*/
#include <errno.h>
#include <poll.h>
#include <stdlib.h>

#include "bell.h"
#include "clock.h"
#include "os.h"

#define FEW 16

/* private; one wait */
struct wait {
  struct mp_context *c;
  mp_waiting *item;
  struct pollfd *fds;
  size_t n;
  bool objects; /* there are some */
  unsigned nap; /* counts the sleeps that are capped for their sake */
};

static int wait_prepare(struct wait *w) {
  for (size_t i = 0; i < w->n; i++) {
    int fd = w->item[i].fd;
    if (w->item[i].object != NULL) {
      int r = mp_bell_hang(w->item[i].object, &fd);
      if (r != 0) return r;
      w->objects = true;
    }
    w->fds[i] = (struct pollfd){.fd = fd, .events = POLLIN};
  }
  return 0;
}

/* How many objects are ready. */
static size_t wait_look(struct wait *w) {
  size_t found = 0;
  for (size_t i = 0; i < w->n; i++) {
    w->item[i].ready = w->item[i].object != NULL && mp_bell_look(w->item[i].object);
    found += (size_t)w->item[i].ready;
  }
  return found;
}

/* How many descriptors are. */
static size_t wait_descriptors(struct wait *w) {
  size_t found = 0;
  for (size_t i = 0; i < w->n; i++) {
    if (w->item[i].object != NULL || w->fds[i].revents == 0) continue;
    w->item[i].ready = 1;
    found++;
  }
  return found;
}

/* One look and one sleep: 0 when something is ready; MP_EMPTY: again. */
static int wait_once(struct wait *w, mp_deadline until, size_t *count) {
  size_t found = wait_look(w);
  mp_deadline sleep = found > 0 ? MP_NOW : until;
  if (found == 0 && w->objects) sleep = mp_clock_cap(until, mp_clock_nap(w->nap++));
  int r = mp_os_poll(w->fds, w->n, sleep);
  if (r < 0 && r != -EINTR) return r;
  if (r > 0) found += wait_descriptors(w);
  if (found > 0) {
    *count = found;
    return 0;
  }
  if (r > 0) return MP_EMPTY; /* a ring */
  if (w->c->interrupted != NULL && w->c->interrupted(w->c->interrupted_arg) != 0)
    return MP_INTERRUPTED;
  if (r == 0 && mp_clock_left(until) == 0) return MP_TIMEOUT;
  if (r == 0 && w->c->tend != NULL) w->c->tend(w->c);
  return MP_EMPTY;
}

int mp_wait(struct mp_context *c, mp_waiting *items, size_t n, mp_deadline until, size_t *count) {
  struct pollfd few[FEW];
  struct wait w = {c, items, few, n, false, 0};
  if (n > FEW) w.fds = calloc(n, sizeof *w.fds);
  if (w.fds == NULL) return -ENOMEM;
  int r = wait_prepare(&w);
  if (r == 0) {
    do r = wait_once(&w, until, count);
    while (r == MP_EMPTY);
  }
  if (w.fds != few) free(w.fds);
  return r;
}
