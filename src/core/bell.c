/*
** Bells: nodes in shared memory that say whom to ring, and the descriptors behind them.
**
** Structure: a node is a block with the name of its owner's socket. It is in the list of the park
** on which the object's waiters sleep, and in the list of its owner's slot. MP_PARK_BELLS in the
** park's `waiting` says that some node may be armed. The owner arms its node when it has found the
** object not ready, sets the bit, and looks again; so whoever makes the object ready after that
** sees it.
** Lock: registry.bells for the lists; `armed` is an atomic word: 0, or the number of the arming.
** Invariant: a node's park belongs to an object that its owner holds. An object that is not ready
** has each node armed whose socket is empty, or a ringer on its way.
** Death: an owner's nodes are taken out by its cleaner, one transaction each, before its handles
** are; a ring for a dead socket is refused by the system. A ringer disarms after it has rung, so
** its death leaves nodes armed for the next one; if there is no next one, its last ring is lost,
** and the owner's timer is what is left.
*/
#include "bell.h"

#include <errno.h>
#include <stdlib.h>

#include "object_layout.h"
#include "os.h"
#include "park.h"

#define EVERY INT64_C(500000000) /* of the timer, ns */
#define RINGS 16                 /* bells rung at a time */

/* shared */
struct node {
  mp_w32 next, prev; /* nodes of the same park; under registry.bells, as `mine` */
  mp_w32 mine;       /* the owner's next node */
  mp_w32 armed;      /* atomic; the number of the arming, 0: rung, or nobody cares */
  mp_w64 park;       /* fixed; offset */
  mp_w64 name;       /* fixed; of the owner's socket */
};

/* private; one participant's bell on an object. Descriptors are -1 while there are none. */
struct mp_bell {
  int socket, epoll, timer;
  mp_ref node; /* MP_NONE: not linked yet */
  struct mp_park *park;
};

static struct node *node_at(const struct mp_context *c, mp_ref ref) {
  return (struct node *)mp_at(c, ref);
}

static struct mp_park *node_park(const struct mp_context *c, const struct node *n) {
  return (struct mp_park *)(void *)(c->arena.base + w64_get(&n->park));
}

/* ---- the lists ---- */

static void node_link(struct mp_context *c, mp_ref ref) {
  struct registry *r = registry_of(c);
  struct node *n = node_at(c, ref);
  struct mp_park *p = node_park(c, n);
  mp_mutex_lock(c, &r->bells);
  mp_ref first = w32_get(&p->bells);
  w32_put(&n->next, first);
  w32_put(&n->prev, MP_NONE);
  w32_put(&n->mine, w32_get(&c->slot->bells));
  if (first != MP_NONE) mp_tx_set32(c, &node_at(c, first)->prev, ref);
  mp_tx_set32(c, &p->bells, ref);
  mp_tx_set32(c, &c->slot->bells, ref);
  mp_tx_publish(c, ref);
  mp_tx_commit(c);
  mp_mutex_unlock(c, &r->bells);
}

/* The word of the slot's list that names the node. */
static mp_w32 *node_place(const struct mp_context *c, struct mp_slot *s, mp_ref ref) {
  mp_w32 *at = &s->bells;
  while (w32_get(at) != ref) at = &node_at(c, w32_get(at))->mine;
  return at;
}

/* Takes a node out of both lists and frees it; MP_NONE: the slot's first, if there is one. */
static bool node_unlink(struct mp_context *c, struct mp_slot *s, mp_ref ref) {
  struct registry *r = registry_of(c);
  mp_mutex_lock(c, &r->bells);
  if (ref == MP_NONE) ref = w32_get(&s->bells);
  if (ref != MP_NONE) {
    struct node *n = node_at(c, ref);
    mp_ref next = w32_get(&n->next), prev = w32_get(&n->prev);
    mp_tx_set32(c, prev == MP_NONE ? &node_park(c, n)->bells : &node_at(c, prev)->next, next);
    if (next != MP_NONE) mp_tx_set32(c, &node_at(c, next)->prev, prev);
    mp_tx_set32(c, node_place(c, s, ref), w32_get(&n->mine));
    mp_tx_doom(c, ref, MP_BLOCK_PLAIN);
    mp_tx_commit(c);
  }
  mp_mutex_unlock(c, &r->bells);
  mp_heap_free_doomed(c);
  return ref != MP_NONE;
}

void mp_bells_clean(struct mp_context *c, struct mp_slot *dead) {
  if (w32_get(&dead->bells) == MP_NONE) return;
  while (node_unlink(c, dead, MP_NONE)) {}
}

/* ---- ringing ---- */

/* private; a bell that is to be rung */
struct ring {
  mp_ref node;
  uint32_t armed;
  uint64_t name;
};

/* Up to RINGS armed nodes of the park. */
static uint32_t rings_gather(struct mp_context *c, const struct mp_park *p, struct ring *ring) {
  struct registry *r = registry_of(c);
  uint32_t n = 0;
  mp_mutex_lock(c, &r->bells);
  for (mp_ref ref = w32_get(&p->bells); ref != MP_NONE && n < RINGS;) {
    const struct node *node = node_at(c, ref);
    uint32_t armed = w32_get_acquire(&node->armed);
    if (armed != 0) ring[n++] = (struct ring){ref, armed, w64_get(&node->name)};
    ref = w32_get(&node->next);
  }
  mp_mutex_unlock(c, &r->bells);
  return n;
}

/* Disarms those that were rung, where they are still the same. */
static void rings_disarm(struct mp_context *c, const struct mp_park *p, const struct ring *ring,
                         uint32_t n) {
  struct registry *r = registry_of(c);
  mp_mutex_lock(c, &r->bells);
  for (mp_ref ref = w32_get(&p->bells); ref != MP_NONE; ref = w32_get(&node_at(c, ref)->next)) {
    for (uint32_t i = 0; i < n; i++) {
      uint32_t armed = ring[i].armed;
      if (ring[i].node == ref) (void)w32_cas(&node_at(c, ref)->armed, &armed, 0);
    }
  }
  mp_mutex_unlock(c, &r->bells);
}

static void park_expect_ring(struct mp_park *p) {
  uint32_t seen = w32_get(&p->waiting);
  while ((seen & MP_PARK_BELLS) == 0 && !w32_cas(&p->waiting, &seen, seen | MP_PARK_BELLS)) {}
  mp_full_fence();
}

/* No node was armed: takes the bit away. Whoever armed meanwhile is found by another look, unless
** it set the bit later than that, and then it stays. True: nobody was. */
static bool park_expect_none(struct mp_context *c, struct mp_park *p) {
  struct ring ring[RINGS];
  uint32_t seen = w32_get(&p->waiting);
  while (!w32_cas(&p->waiting, &seen, seen & ~MP_PARK_BELLS)) {}
  if (rings_gather(c, p, ring) == 0) return true;
  park_expect_ring(p);
  return false;
}

/* The socket is not kept: a process that puts something into a queue now and then needs no
** descriptor for it, and who was rung is rung again only after it has looked. False: one could not
** be rung for want of memory; it is struck out here and stays armed. */
static bool rings_send(struct ring *ring, uint32_t n) {
  int sender;
  bool all = true;
  if (mp_os_bell_sender(&sender) != 0) sender = -1;
  for (uint32_t i = 0; i < n; i++) {
    if (sender >= 0 && mp_os_bell_ring(sender, ring[i].name) == 0) continue;
    ring[i].node = MP_NONE;
    all = false;
  }
  mp_os_close(sender);
  return all;
}

void mp_bell_ring(struct mp_context *c, struct mp_park *p) {
  struct ring ring[RINGS];
  for (;;) {
    uint32_t n = rings_gather(c, p, ring);
    if (n == 0) {
      if (park_expect_none(c, p)) return;
      continue;
    }
    bool all = rings_send(ring, n);
    rings_disarm(c, p, ring, n);
    if (!all) return; /* until the next one rings, their timers are what is left */
  }
}

/* ---- one's own bell ---- */

static void bell_free(struct mp_bell *b) {
  mp_os_close(b->epoll);
  mp_os_close(b->timer);
  mp_os_close(b->socket);
  free(b);
}

static int bell_node(struct mp_context *c, struct mp_bell *b, uint64_t name) {
  mp_ref ref;
  int r = mp_heap_reserve(c, sizeof(struct node), MP_BLOCK_PLAIN, &ref);
  if (r != 0) return r;
  struct node *n = node_at(c, ref);
  w32_put(&n->armed, 0);
  w64_put(&n->park, mp_offset_of(c, b->park));
  w64_put(&n->name, name);
  node_link(c, ref);
  b->node = ref;
  return 0;
}

/* The bell is the handle's before it has anything, so that nothing can be lost. */
static int bell_open(struct mp_handle *h) {
  struct mp_context *c = h->context;
  const struct mp_waitable *w = mp_waitables[w32_get(&h->object->kind)];
  struct mp_park *park = w == NULL ? NULL : w->park(c, h->object);
  uint64_t name;
  if (park == NULL) return -EINVAL;
  struct mp_bell *b = malloc(sizeof *b);
  if (b == NULL) return -ENOMEM;
  *b = (struct mp_bell){.socket = -1, .epoll = -1, .timer = -1, .park = park};
  h->bell = b;
  int r = mp_os_bell_create(&b->socket, &name);
  if (r == 0) r = bell_node(c, b, name);
  if (r != 0) h->bell = mp_bell_close(h);
  return r;
}

static void bell_ring_self(struct mp_bell *b, const struct node *n) {
  (void)mp_os_bell_ring(b->socket, w64_get(&n->name));
}

bool mp_bell_look(struct mp_handle *h) {
  struct mp_context *c = h->context;
  struct mp_bell *b = h->bell;
  const struct mp_waitable *w = mp_waitables[w32_get(&h->object->kind)];
  if (w == NULL) return false;
  bool ready = w->ready(c, h->object);
  if (b == NULL) return ready;
  struct node *n = node_at(c, b->node);
  if (!ready) {
    (void)mp_os_bell_drain(b->socket);
    if (b->timer >= 0) (void)mp_os_timer_drain(b->timer);
    if (++c->armings == 0) c->armings = 1;
    w32_put(&n->armed, c->armings);
    park_expect_ring(b->park);
    ready = w->ready(c, h->object);
  }
  if (ready) bell_ring_self(b, n);
  return ready;
}

int mp_bell_hang(struct mp_handle *h, int *fd) {
  if (h->bell == NULL) {
    int r = bell_open(h);
    if (r != 0) return r;
    (void)mp_bell_look(h);
  }
  *fd = h->bell->socket;
  return 0;
}

static int bell_watch(struct mp_bell *b) {
  int r = mp_os_epoll(&b->epoll);
  if (r == 0) r = mp_os_timerfd(&b->timer);
  if (r == 0) r = mp_os_timer_every(b->timer, EVERY);
  if (r == 0) r = mp_os_epoll_add(b->epoll, b->timer);
  if (r == 0) r = mp_os_epoll_add(b->epoll, b->socket);
  if (r == 0) return 0;
  b->epoll = mp_os_close(b->epoll);
  b->timer = mp_os_close(b->timer);
  return r;
}

int mp_ready(struct mp_handle *h) {
  return mp_bell_look(h);
}

int mp_fileno(struct mp_handle *h, int *fd) {
  int own, r = mp_bell_hang(h, &own);
  if (r == 0 && h->bell->epoll < 0) r = bell_watch(h->bell);
  if (r == 0) *fd = h->bell->epoll;
  return r;
}

struct mp_bell *mp_bell_forget(struct mp_handle *h) {
  if (h->bell == NULL) return NULL; /* nothing is stored: a fork would have to copy a page */
  bell_free(h->bell);
  return h->bell = NULL;
}

struct mp_bell *mp_bell_close(struct mp_handle *h) {
  if (h->bell != NULL && h->bell->node != MP_NONE)
    (void)node_unlink(h->context, h->context->slot, h->bell->node);
  return mp_bell_forget(h);
}

/* ---- for checkers ---- */

mp_ref mp_bell_next(const struct mp_context *c, mp_ref node) {
  return w32_get(&node_at(c, node)->mine);
}

const char *mp_bell_check(const struct mp_context *c, mp_ref node) {
  mp_ref prev = MP_NONE;
  const struct mp_park *p = node_park(c, node_at(c, node));
  for (mp_ref ref = w32_get(&p->bells); ref != MP_NONE; ref = w32_get(&node_at(c, ref)->next)) {
    if (w32_get(&node_at(c, ref)->prev) != prev) return "bell: a park's list is torn";
    if (ref == node) return NULL;
    prev = ref;
  }
  return "bell: it hangs on no park";
}
