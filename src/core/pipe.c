/*
** Pipe: two end objects over one queue for each direction.
**
** Structure: an end mentions the queue that it receives from and the one that it sends to; of a
** one-way pipe it has one of them. So a queue lives as long as one of the two ends does, and an end
** as long as a participant holds it or a message mentions it. An end that is taken apart shuts its
** queues: what it was to receive is thrown away, and who sends there is told (MP_CLOSED); what it
** had sent can be received still, then the other side is told that this was all.
** Lock: none of our own; the queues' are in queue.c. An end never changes while it lives.
** Invariant: `counted` of a queue's ticket says that the queue counts our mention.
** Death: a participant's ends close as its handles are cleaned; those who wait on the other side
** look for the dead between their naps. A pipe in the making is two queues and an end that nobody
** has yet, each whole and in its maker's slot. Who dies in taking an end apart leaves it to the
** next: shutting twice is as good as once, a mention is taken back with its count.
*/
#include <errno.h>
#include <string.h>

#include "check.h"
#include "pipe.h"

/* One queue as an end has it. */
struct side {
  mp_ticket queue; /* fixed after publishing; {0} where there is none */
  mp_w32 counted;
  mp_w32 unused;
};

struct end { /* shared */
  struct mp_object object;
  struct side in, out;
};

static struct end *end_of(const struct mp_handle *h) {
  return (struct end *)(void *)h->object;
}

/* ---- the queues of an end ---- */

/* A handle for one call: the end's mention keeps the queue alive, and the operations on a plain
** queue ask for no entry. */
static bool side_open(struct mp_context *c, const struct side *s, struct mp_handle *out) {
  if (w32_get(&s->counted) == 0) return false;
  mp_ref ref = (mp_ref)s->queue.word[0];
  *out = (struct mp_handle){.context = c, .object = (struct mp_object *)mp_at(c, ref), .ref = ref};
  return true;
}

int mp_connection_send(mp_connection *h, const mp_parcel *p, mp_deadline until) {
  struct mp_handle q;
  if (!side_open(h->context, &end_of(h)->out, &q)) return -EBADF;
  return mp_queue_put(&q, p, until);
}

int mp_connection_receive(mp_connection *h, size_t max, mp_deadline until, mp_letter *out) {
  struct mp_handle q;
  if (!side_open(h->context, &end_of(h)->in, &q)) return -EBADF;
  int r = mp_queue_get_within(&q, max, until, out);
  mp_bell_follow(h);
  return r;
}

int mp_connection_poll(mp_connection *h, mp_deadline until) {
  struct mp_handle q;
  if (!side_open(h->context, &end_of(h)->in, &q)) return -EBADF;
  int r = mp_queue_poll(&q, until);
  if (r == MP_TIMEOUT) mp_bell_follow(h);
  return r;
}

int mp_connection_readable(const mp_connection *h) {
  return w32_get(&end_of(h)->in.counted) != 0;
}

int mp_connection_writable(const mp_connection *h) {
  return w32_get(&end_of(h)->out.counted) != 0;
}

/* ---- birth ---- */

static int side_mention(struct mp_context *c, struct side *s, const struct mp_handle *queue) {
  if (queue == NULL) return 0;
  s->queue = mp_handle_ticket(queue);
  return mp_object_mention(c, s->queue, &s->counted);
}

static int end_new(struct mp_context *c, const mp_queue *in, const mp_queue *out,
                   struct mp_handle **result) {
  struct mp_handle *h;
  int r = mp_object_new(c, MP_KIND_PIPE, sizeof(struct end), &h);
  if (r != 0) return r;
  /* should we die from here on, it is taken apart as an object, and its mentions are taken back */
  w64_put(mp_heap_pending_entry(c, h->ref), h->ref | (uint64_t)MP_BLOCK_OBJECT << 32);
  r = side_mention(c, &end_of(h)->in, in);
  if (r == 0) r = side_mention(c, &end_of(h)->out, out);
  MP_ASSERT(r == 0); /* both queues are ours */
  mp_object_publish(h, NULL, 0);
  *result = h;
  return r;
}

static int ends_new(struct mp_context *c, const mp_queue *there, const mp_queue *back,
                    mp_connection **ends) {
  mp_connection *first, *second;
  int r = end_new(c, there, back, &first);
  if (r != 0) return r;
  r = end_new(c, back, there, &second);
  if (r != 0) {
    mp_handle_close(first);
    return r;
  }
  ends[0] = first;
  ends[1] = second;
  return 0;
}

int mp_pipe_new(struct mp_context *c, int duplex, mp_connection **ends) {
  const mp_queue_options o = {MP_PIPE_MESSAGES, MP_PIPE_BYTES, MP_QUEUE_PIPE};
  mp_queue *there = NULL, *back = NULL;
  int r = mp_queue_new(c, &o, &there);
  if (r == 0 && duplex) r = mp_queue_new(c, &o, &back);
  if (r == 0) r = ends_new(c, there, back, ends);
  mp_queue_close(there);
  mp_queue_close(back);
  return r;
}

mp_connection *mp_connection_close(mp_connection *h) {
  return mp_handle_close(h);
}

/* ---- the end ---- */

static void side_shut(struct mp_context *c, struct side *s, int immediate) {
  struct mp_handle q;
  if (!side_open(c, s, &q)) return;
  mp_queue_shutdown(&q, immediate);
  mp_object_forget(c, s->queue, &s->counted);
}

static void end_destroy(struct mp_context *c, struct mp_object *o) {
  struct end *e = (struct end *)(void *)o;
  side_shut(c, &e->in, 1);
  side_shut(c, &e->out, 0);
}

static const char *side_check(struct mp_context *c, const struct side *s, struct mp_walk *w) {
  if (w32_get(&s->counted) == 0) return NULL;
  const char *wrong = mp_walk_mention(w, s->queue);
  if (wrong != NULL) return wrong;
  const struct mp_object *q = (const struct mp_object *)mp_at(c, (mp_ref)s->queue.word[0]);
  return w32_get(&q->kind) == MP_KIND_QUEUE ? NULL : "pipe: an end is over what is no queue";
}

static const char *end_check(struct mp_context *c, struct mp_object *o, struct mp_walk *w) {
  struct end *e = (struct end *)(void *)o;
  const char *wrong = side_check(c, &e->in, w);
  return wrong != NULL ? wrong : side_check(c, &e->out, w);
}

const struct mp_kind mp_pipe_kind = {"Connection", NULL, end_destroy, end_check};

/* ---- bells ---- */

static bool end_ready(struct mp_context *c, struct mp_object *o) {
  struct mp_handle q;
  if (!side_open(c, &((struct end *)(void *)o)->in, &q)) return false;
  return mp_queue_waitable.ready(c, q.object);
}

static struct mp_park *end_park(struct mp_context *c, struct mp_object *o) {
  struct mp_handle q;
  if (!side_open(c, &((struct end *)(void *)o)->in, &q)) return NULL;
  return mp_queue_waitable.park(c, q.object);
}

const struct mp_waitable mp_pipe_waitable = {end_ready, end_park};
