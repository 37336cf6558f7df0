/*
** Contexts: the session of this process, its participants, their clean-up and their forks.
**
** Structure: one private session for the process (the arena's mapping, a page that fork wipes, the
** list of contexts); each context owns a slot. The order of clean-up is fixed: change in hand and
** mutex, then handles with what they hold, then blocks, then the slot itself.
** Lock: the session's private mutex for the list, held across fork by the handlers.
** Invariant: a context is usable exactly where *guard == guard_value; the page is wiped by any
** fork, and only the handlers below, which give the child its own slot, write it again.
** Death: a participant's by mp_context_bury, restartable at every step; a parent's between
** reserve and adopt leaves a reserved slot that dies with it, and the child finds itself lost.
*/
#include "context.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

#include "bell.h"
#include "clock.h"
#include "object_layout.h"
#include "os.h"

#define SCAN_EVERY INT64_C(100000000) /* 100 ms */

/* private; this process's session. The first context is part of it: a fork copies each page that
** parent or child writes, and these are written by every fork. */
static struct {
  pthread_mutex_t lock;
  struct mp_arena arena;
  struct mp_context *contexts;
  uint32_t *guard;     /* the page that fork wipes */
  uint32_t generation; /* how many forks led here, plus 1; what *guard should be */
  bool handlers;       /* pthread_atfork was called */
  uint32_t processors; /* that we may use; with more than one a short wait may pay */
  void *forking;       /* the thread whose fork the handlers are in */
  bool taken;          /* `first` is some context's memory */
  struct mp_context first;
} session MP_ALIGNED(1024) = {.lock = PTHREAD_MUTEX_INITIALIZER};

_Static_assert(sizeof session <= 1024, "the session is on one page");

static const pthread_mutex_t unlocked = PTHREAD_MUTEX_INITIALIZER;

/* ---- clean-up ---- */

/* All that the dead participant of slot `index` had; we are its cleaner, or it is our own. */
static void slot_clean(struct mp_context *c, uint32_t index) {
  struct mp_slot *dead = mp_slot_at(&c->arena, index);
  mp_bells_clean(c, dead);
  mp_handles_clean(c, dead);
  mp_heap_clean(c, dead);
  mp_object_reap(c);
}

/* All that we have. Others may have left dying objects to us in the end, and what these were made
** of is in our magazines. */
static void slot_empty(struct mp_context *c) {
  slot_clean(c, mp_tag_index(c->tag));
  mp_heap_flush(c);
}

/* A tracked child's slot waits for its parent to collect it, as long as there is one. */
static bool slot_awaited(struct mp_context *c, const struct mp_slot *s) {
  uint32_t parent = w32_get(&s->parent);
  return parent != 0 && (parent == c->tag || !mp_slot_gone(c, parent));
}

/* How the process ended, if it did not say so itself and the kernel still knows. */
static void slot_note_end(struct mp_slot *dead) {
  int status;
  if (w32_get(&dead->ended) != 0) return;
  if (mp_os_zombie_status(mp_slot_pid(dead), w64_get(&dead->start), &status) == 0)
    w32_put(&dead->ended, mp_slot_ended_word(status));
}

static bool slot_bury(struct mp_context *c, uint32_t index) {
  if (!mp_mutex_take_over(c, index)) return false;
  slot_note_end(mp_slot_at(&c->arena, index));
  slot_clean(c, index);
  if (slot_awaited(c, mp_slot_at(&c->arena, index)))
    mp_slot_leave(c, index);
  else
    mp_slot_free(c, index);
  return true;
}

bool mp_context_bury(struct mp_context *c, uint32_t tag) {
  uint32_t index = mp_tag_index(tag);
  if (mp_slot_tag(&c->arena, index) != tag) return true;
  return slot_bury(c, index);
}

void mp_context_collect(struct mp_context *c, uint32_t tag, uint32_t *ended) {
  uint32_t index = mp_tag_index(tag);
  struct mp_slot *s = mp_slot_at(&c->arena, index);
  if (mp_slot_tag(&c->arena, index) != tag) return;
  if (*ended == 0)
    *ended = w32_get(&s->ended);
  else
    w32_put(&s->ended, *ended); /* for those whom the child's death concerns */
  w32_put(&s->parent, 0); /* whoever cleans it from now on may free it */
  /* It has ended: that is known, and to look for its pid could find a stranger that has it by
  ** now. */
  mp_slot_abandon(c, index);
  (void)slot_bury(c, index);
}

void mp_context_end(struct mp_context *c, int status) {
  uint32_t index = mp_tag_index(c->tag);
  w32_put(&c->slot->ended, mp_slot_ended_word(status));
  slot_empty(c);
  /* dead before the process is: the parent needs not look, and finds nothing left to clean */
  mp_slot_abandon(c, index);
  c->guard_value = 0;
}

void mp_context_each(void (*visit)(struct mp_context *c)) {
  for (struct mp_context *c = session.contexts; c != NULL; c = c->next)
    if (mp_context_valid(c)) visit(c);
}

/* The start times of tracked children, which a fork leaves out: to read them would take a tenth of
** the time that a short child lives. Until its parent reaps it, a child's pid is its own, so the
** parent can make up for it whenever it looks after the dead; and so can the child. */
static void start_note(struct mp_context *c, uint32_t index) {
  const struct mp_slot *s = mp_slot_at(&c->arena, index);
  if (w64_get(&s->start) != 0 || mp_slot_state_of(w64_get(&s->who)) != MP_SLOT_LIVE) return;
  if (s == c->slot || w32_get(&s->parent) == c->tag) mp_slot_note_start(c, index, mp_slot_pid(s));
}

void mp_context_tend(struct mp_context *c, bool now) {
  start_note(c, mp_tag_index(c->tag));
  mp_w64 *last = &mp_arena_head(&c->arena)->last_scan;
  uint64_t time = (uint64_t)mp_clock_now(), seen = w64_get(last);
  if (!now && (time - seen < SCAN_EVERY || !w64_cas(last, &seen, time))) return;
  uint32_t high = w32_get(&mp_proctab(&c->arena)->high);
  for (uint32_t i = 0; i < high; i++) {
    if (mp_slot_at(&c->arena, i) == c->slot || w64_get(&mp_slot_at(&c->arena, i)->who) == 0)
      continue;
    start_note(c, i);
    (void)slot_bury(c, i);
  }
  mp_object_reap(c);
  mp_heap_trim(c);
}

static void context_tend(struct mp_context *c) {
  mp_context_tend(c, false);
}

/* ---- fork ---- */

/* The reserved slot of a fork that failed. */
static void fork_undo(struct mp_context *c, uint32_t index) {
  w32_put(&mp_slot_at(&c->arena, index)->parent, 0);
  mp_slot_abandon(c, index);
  (void)slot_bury(c, index);
}

static int fork_prepare(struct mp_context *c) {
  uint32_t index;
  int r = mp_slot_reserve(c, &index);
  if (r == -EUSERS) {
    mp_context_tend(c, true);
    r = mp_slot_reserve(c, &index);
  }
  if (r != 0) return r;
  r = mp_handles_copy(c, mp_slot_at(&c->arena, index));
  if (r != 0) {
    fork_undo(c, index);
    return r;
  }
  c->child = index + 1;
  return 0;
}

static bool context_follows(const struct mp_context *c) {
  return c->owner == (void *)pthread_self() && mp_context_valid(c);
}

static void handler_prepare(void) {
  pthread_mutex_lock(&session.lock);
  session.forking = (void *)pthread_self();
  for (struct mp_context *c = session.contexts; c != NULL; c = c->next)
    if (c->child == 0 && context_follows(c)) (void)fork_prepare(c); /* failed: invalid there */
}

static void handler_parent(void) {
  for (struct mp_context *c = session.contexts; c != NULL; c = c->next)
    if (context_follows(c)) c->child = 0;
  pthread_mutex_unlock(&session.lock);
}

static void context_follow(struct mp_context *c) {
  uint32_t index = c->child - 1;
  c->child = 0;
  if (mp_slot_adopt(c, index) != 0) return; /* the parent died and was cleaned up already */
  if (!c->tracks) {
    mp_slot_note_start(c, index, c->pid);
    w32_put(&c->slot->parent, 0);
  }
  mp_handles_adopt(c);
  c->reaping = false;
  c->guard_value = session.generation;
}

static void handler_child(void) {
  session.lock = unlocked;
  session.generation++;
  *session.guard = session.generation;
  for (struct mp_context *c = session.contexts; c != NULL; c = c->next)
    if (c->child != 0 && c->owner == session.forking) context_follow(c);
}

int mp_context_fork(struct mp_context *c, bool tracked, int *pid, uint32_t *child) {
  c->owner = (void *)pthread_self(); /* first: other threads may fork meanwhile */
  int r = fork_prepare(c);
  if (r != 0) return r;
  uint32_t index = c->child - 1, tag = mp_slot_tag(&c->arena, index);
  c->tracks = tracked;
  int p = mp_os_fork();
  c->tracks = false;
  if (p < 0) {
    r = p;
    c->child = 0;
    fork_undo(c, index);
    return r;
  }
  if (p > 0 && !tracked) mp_slot_give(c, tag, p);
  *pid = p;
  *child = tag;
  return 0;
}

/* ---- opening and closing ---- */

static uint32_t layout_signature(void) {
  uint32_t s = 2166136261u;
  s = mp_arena_fold(s, sizeof(struct mp_arena_header));
  s = mp_arena_fold(s, sizeof(struct mp_slot));
  s = mp_arena_fold(s, sizeof(struct registry));
  s = mp_arena_fold(s, sizeof(struct mp_object));
  s = mp_arena_fold(s, mp_heap_bytes(0));
  s = mp_arena_fold(s, sizeof(struct mp_message));
  return mp_arena_fold(s, MP_OWNED_MAX * 1000 + MP_LOG_MAX);
}

static int session_create(const struct mp_context_options *o) {
  struct mp_arena_options a = {o->space, o->memory, layout_signature(), {0}};
  mp_arena_choose(&a);
  a.region[MP_REGION_OBJECTS] = mp_objects_bytes();
  a.region[MP_REGION_SLOTS] = mp_proctab_bytes();
  a.region[MP_REGION_HEAP] = mp_heap_bytes(a.size);
  int r = mp_arena_create(&a, &session.arena);
  if (r != 0) return r;
  r = mp_proctab_init(&session.arena);
  struct mp_context maker = {.arena = session.arena};
  if (r == 0) r = mp_heap_init(&maker);
  if (r == 0) r = mp_objects_init(&maker);
  if (r != 0) mp_arena_detach(&session.arena);
  return r;
}

static int session_guard(void) {
  if (session.guard == NULL) {
    void *page;
    int r = mp_os_wipe_page_map(&page);
    if (r != 0) return r;
    session.guard = page;
    *session.guard = session.generation = 1;
    session.processors = (uint32_t)mp_os_cpu_allowed(); /* asking reads a dozen files: once */
  }
  if (!session.handlers) {
    if (pthread_atfork(handler_prepare, handler_parent, handler_child) != 0) return -ENOMEM;
    session.handlers = true;
  }
  return 0;
}

/* A slot for a newcomer. If there is none it cleans up after the dead, in the slot that is kept for
** that, and looks once more. */
static int context_claim(struct mp_context *c) {
  uint32_t index;
  int r = mp_slot_claim(c, &index);
  if (mp_likely(r != -EUSERS)) return r;
  r = mp_slot_claim_last(c);
  if (r != 0) return r;
  mp_context_tend(c, true);
  slot_empty(c);
  mp_slot_resign(c);
  return mp_slot_claim(c, &index);
}

static int context_start(struct mp_context *c) {
  c->arena = session.arena;
  c->pid = mp_os_pid();
  c->guard = session.guard;
  c->guard_value = session.generation;
  c->owner = (void *)pthread_self();
  c->processors = session.processors;
  c->spins = session.processors > 1;
  c->tend = context_tend;
  c->ring = mp_bell_ring;
  int r = mp_handles_open(c);
  if (r != 0) return r;
  r = context_claim(c);
  if (r != 0) mp_handles_close(c);
  return r;
}

static int session_join(const struct mp_context_options *o, struct mp_context *c) {
  bool first = session.contexts == NULL;
  int r = session_guard();
  if (r == 0 && first) r = session_create(o);
  if (r != 0) return r;
  r = context_start(c);
  if (r != 0) {
    if (first) mp_arena_detach(&session.arena);
    return r;
  }
  c->next = session.contexts;
  session.contexts = c;
  return 0;
}

/* Zeroed memory for a context; under the session's lock, as the next. */
static struct mp_context *context_new(void) {
  if (session.taken) return calloc(1, sizeof(struct mp_context));
  session.taken = true;
  return &session.first;
}

static void context_free(struct mp_context *c) {
  if (c != &session.first) {
    free(c);
    return;
  }
  session.first = (struct mp_context){.slot = NULL};
  session.taken = false;
}

int mp_context_open(const struct mp_context_options *o, struct mp_context **out) {
  pthread_mutex_lock(&session.lock);
  struct mp_context *c = context_new();
  int r = c == NULL ? -ENOMEM : session_join(o, c);
  if (c != NULL && r != 0) context_free(c);
  pthread_mutex_unlock(&session.lock);
  if (r != 0) return r;
  *out = c;
  return 0;
}

static void session_leave(struct mp_context *c) {
  struct mp_context **at = &session.contexts;
  while (*at != NULL && *at != c) at = &(*at)->next;
  if (*at == c) *at = c->next;
  if (session.contexts == NULL) mp_arena_detach(&session.arena);
}

struct mp_context *mp_context_close(struct mp_context *c) {
  if (c == NULL) return NULL;
  if (mp_context_valid(c)) {
    slot_empty(c);
    mp_slot_resign(c);
  }
  pthread_mutex_lock(&session.lock);
  session_leave(c);
  mp_handles_close(c);
  context_free(c);
  pthread_mutex_unlock(&session.lock);
  return NULL;
}

/* ---- for C hosts ---- */

int mp_open(const mp_options *o, mp_context **out) {
  struct mp_context_options options = {.memory = o == NULL ? 0 : o->memory};
  return mp_context_open(&options, out);
}

mp_context *mp_close(mp_context *c) {
  return mp_context_close(c);
}

const char *mp_check(mp_context *c) {
  return mp_check_arena(c);
}

mp_ticket mp_ticket_of(const struct mp_handle *object) {
  return mp_handle_ticket(object);
}
