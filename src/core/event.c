/*
** Event: a flag, and how often it was set.
**
** Structure: `state` is the number of times the event was set * 2, plus 1 while it is set; who
** waits sleeps in `park`. Lock: none; set and clear are one compare-and-swap each.
** Invariant: the number grows with each set of a clear event, so that a waiter which finds another
** number than at its start knows that the event was set meanwhile, even if it is clear again.
** Death: of a waiter: nothing is left. Of a setter between the swap and the wake: a capped nap.
*/
#include "bell.h"
#include "sync.h"

#define EVENT_SET UINT64_C(1)

struct event { /* shared */
  struct mp_object object;
  mp_w64 state; /* atomic */
  struct mp_park park;
};

static struct event *event_of(const struct mp_handle *h) {
  return (struct event *)(void *)h->object;
}

int mp_event_new(struct mp_context *c, mp_event **out) {
  int r = mp_object_new(c, MP_KIND_EVENT, sizeof(struct event), out);
  if (r == 0) mp_object_publish(*out, NULL, 0);
  return r;
}

int mp_event_open(struct mp_context *c, mp_ticket t, mp_event **out) {
  return mp_sync_open(c, t, MP_KIND_EVENT, out);
}

mp_event *mp_event_close(mp_event *h) {
  return mp_handle_close(h);
}

int mp_event_is_set(const mp_event *h) {
  return (w64_get_acquire(&event_of(h)->state) & EVENT_SET) != 0;
}

void mp_event_set(mp_event *h) {
  struct event *e = event_of(h);
  uint64_t seen = w64_get(&e->state);
  while (!(seen & EVENT_SET) && !w64_cas(&e->state, &seen, seen + 2 + EVENT_SET)) {}
  mp_park_wake(h->context, &e->park, UINT32_MAX); /* set already: its setter may have died */
}

void mp_event_clear(mp_event *h) {
  struct event *e = event_of(h);
  uint64_t seen = w64_get(&e->state);
  while ((seen & EVENT_SET) && !w64_cas(&e->state, &seen, seen & ~EVENT_SET)) {}
  mp_bell_follow(h);
}

uint64_t mp_event_moment(const mp_event *h) {
  uint64_t seen = w64_get_acquire(&event_of(h)->state);
  return (seen >> 1) - (seen & EVENT_SET); /* set now: since before it was */
}

static bool event_came(const struct event *e, uint64_t since) {
  return w64_get_acquire(&e->state) >> 1 != since;
}

int mp_event_wait(mp_event *h, uint64_t since, mp_deadline until) {
  struct event *e = event_of(h);
  if (event_came(e, since)) return 0;
  if (until == MP_NOW) return MP_TIMEOUT;
  if (mp_park_spin64(h->context, &e->state, w64_get(&e->state)) && event_came(e, since)) return 0;
  for (unsigned nap = 0;;) {
    uint32_t seq = mp_park_ticket(&e->park);
    mp_park_announce(&e->park);
    if (event_came(e, since)) return 0;
    int r = mp_park_wait(h->context, &e->park, seq, until, &nap);
    if (event_came(e, since)) return 0;
    if (r != 0) return r;
  }
}

static const char *event_check(struct mp_context *c, struct mp_object *o, struct mp_walk *w) {
  const struct event *e = (const struct event *)(const void *)o;
  (void)c;
  (void)w;
  return w64_get(&e->state) == EVENT_SET ? "event: set, and never was" : NULL;
}

const struct mp_kind mp_event_kind = {"Event", NULL, NULL, event_check};

/* ---- bells ---- */

static bool event_ready(struct mp_context *c, struct mp_object *o) {
  (void)c;
  return (w64_get_acquire(&((struct event *)(void *)o)->state) & EVENT_SET) != 0;
}

static struct mp_park *event_park(struct mp_context *c, struct mp_object *o) {
  (void)c;
  return &((struct event *)(void *)o)->park;
}

const struct mp_waitable mp_event_waitable = {event_ready, event_park};
