/* Queues of the optimised build, killed after every instruction. */
#include "step.h"

#define SMALL 8
#define LARGE 500
#define THERE 3u /* messages that are there at first: 1, 2, 3; the victim puts number 4 */

/* What the victim has done so far, in note[0]; the message that it took in note[1]. */
enum { BEFORE, RETURNED, FREED, FINISHED };

static void say(struct step_world *w, int what) {
  w->shared->note[0] = what;
}

/* ---- messages: `size` bytes that are all n ---- */

static int put(mp_queue *q, unsigned n, size_t size) {
  unsigned char bytes[LARGE];
  memset(bytes, (int)n, size);
  return mp_queue_put(q, &(mp_parcel){.bytes = bytes, .length = size}, MP_NOW);
}

static unsigned letter_number(const mp_letter *l) {
  const unsigned char *b = l->parcel.bytes;
  CHECK(l->parcel.length == SMALL || l->parcel.length == LARGE);
  CHECK(memcmp(b, b + 1, l->parcel.length - 1) == 0);
  return b[0];
}

/* Takes one; 0 when there is none. */
static unsigned take(mp_queue *q) {
  mp_letter l;
  int r = mp_queue_get(q, MP_NOW, &l);
  if (r == MP_EMPTY) return 0;
  CHECK_EQ(r, 0);
  unsigned n = letter_number(&l);
  mp_letter_free(q->context, &l);
  return n;
}

/* ---- worlds ---- */

static void prepare(struct step_world *w, const mp_queue_options *o, unsigned there, size_t size) {
  CHECK_EQ(mp_queue_new(w->c, o, &w->object), 0);
  for (unsigned n = 1; n <= there; n++) CHECK_EQ(put(w->object, n, size), 0);
  w->state[0] = there;
}

static void prepare_small(struct step_world *w) {
  prepare(w, &(mp_queue_options){0}, THERE, SMALL);
}

static void prepare_large(struct step_world *w) {
  prepare(w, &(mp_queue_options){0}, THERE, LARGE);
}

static void prepare_bytes(struct step_world *w) {
  prepare(w, &(mp_queue_options){100, 10000, MP_QUEUE_PLAIN}, THERE, LARGE);
}

static void prepare_joinable(struct step_world *w) {
  prepare(w, &(mp_queue_options){.flavour = MP_QUEUE_JOINABLE}, THERE, SMALL);
}

/* A first segment has 31 cells. Full of messages; and read up to its end, with one more behind. */
static void prepare_full_segment(struct step_world *w) {
  prepare(w, &(mp_queue_options){0}, 31, SMALL);
}

static void prepare_read_segment(struct step_world *w) {
  prepare(w, &(mp_queue_options){0}, 32, SMALL);
  for (unsigned n = 1; n <= 31; n++) CHECK_EQ(take(w->object), n);
}

/* With blocks at hand the operation is itself, without the heap's refill. */
static void warm_magazines(struct step_world *w) {
  mp_ref block;
  for (size_t bytes = 256; bytes <= 8192; bytes += bytes / 8) {
    CHECK_EQ(mp_heap_reserve(w->c, bytes, MP_BLOCK_PLAIN, &block), 0);
    mp_heap_unreserve(w->c, block);
  }
}

/* ---- put ---- */

static void put_one(struct step_world *w, size_t size) {
  w->shared->note[2] = put(w->object, (unsigned)w->state[0] + 1, size);
  say(w, RETURNED);
}

static void put_small(struct step_world *w) {
  put_one(w, SMALL);
}

static void put_large(struct step_world *w) {
  put_one(w, LARGE);
}

/* The queue works, and with it everything goes. */
static void check_works(struct step_world *w) {
  CHECK_EQ(take(w->object), 0);
  for (unsigned n = 1; n <= 5; n++) CHECK_EQ(put(w->object, n, n % 2 ? SMALL : LARGE), 0);
  for (unsigned n = 1; n <= 5; n++) CHECK_EQ(take(w->object), n);
  w->object = mp_queue_close(w->object);
  mp_heap_flush(w->c);
  CHECK_EQ(mp_heap_usage(w->c).allocated, 0);
}

/* The message is there, whole, or not there; those before it are all there. */
static void judge_put(struct step_world *w, bool done) {
  unsigned there = (unsigned)w->state[0];
  for (unsigned n = 1; n <= there; n++) CHECK_EQ(take(w->object), n);
  unsigned mine = take(w->object);
  CHECK(mine == 0 || mine == there + 1);
  CHECK_EQ(w->shared->note[2], 0);
  if (done || w->shared->note[0] == RETURNED) CHECK_EQ(mine, there + 1);
  check_works(w);
}

/* ---- get ---- */

static void get_one(struct step_world *w) {
  mp_letter l;
  w->shared->note[2] = mp_queue_get(w->object, MP_NOW, &l);
  if (w->shared->note[2] != 0) return;
  w->shared->note[1] = letter_number(&l);
  say(w, RETURNED);
  mp_letter_free(w->c, &l);
  say(w, FREED);
}

/* Number `first` was taken or is there; all others are there. */
static void judge_get_from(struct step_world *w, bool done, unsigned first) {
  unsigned there = (unsigned)w->state[0], next = take(w->object);
  bool mine = next != first;
  CHECK_EQ(w->shared->note[2], 0);
  if (w->shared->note[0] >= RETURNED) {
    CHECK_EQ(w->shared->note[1], first);
    CHECK(mine);
  }
  if (done) CHECK_EQ(w->shared->note[0], FREED);
  for (unsigned n = first; n < there; n++) {
    CHECK_EQ(next, n + mine);
    next = n + 1 + mine <= there ? take(w->object) : 0;
  }
  if (mine) CHECK_EQ(next, 0);
  check_works(w);
}

static void judge_get(struct step_world *w, bool done) {
  judge_get_from(w, done, 1);
}

static void judge_get_last(struct step_world *w, bool done) {
  judge_get_from(w, done, 32);
}

/* ---- joinable queues: what is taken and not finished is lost ---- */

static void get_and_finish(struct step_world *w) {
  get_one(w);
  if (mp_queue_task_done(w->object) == 0) say(w, FINISHED);
}

static void judge_joinable(struct step_world *w, bool done) {
  intptr_t said = w->shared->note[0];
  uint64_t lost = 0;
  unsigned next = take(w->object), left = THERE;
  CHECK(next == 1 || (said == BEFORE ? next == 2 : true));
  if (said > BEFORE) CHECK_EQ(next, 2);
  if (done) CHECK_EQ(said, FINISHED);
  for (unsigned n = next + 1; n <= left; n++) CHECK_EQ(take(w->object), n);
  for (unsigned n = next; n <= left; n++) {
    CHECK_EQ(mp_queue_join(w->object, MP_NOW, &lost), MP_TIMEOUT);
    CHECK_EQ(mp_queue_task_done(w->object), 0);
  }
  int r = mp_queue_join(w->object, MP_NOW, &lost);
  CHECK_EQ(r, lost != 0 ? MP_LOST : 0);
  if (next == 1 || said == FINISHED) CHECK_EQ(lost, 0);
  if (next == 2 && said == RETURNED) CHECK_EQ(lost, 1);
  CHECK(lost <= 1);
  CHECK_EQ(mp_queue_task_done(w->object), MP_LIMIT);
  CHECK_EQ(take(w->object), 0);
  w->object = mp_queue_close(w->object);
  mp_heap_flush(w->c);
  CHECK_EQ(mp_heap_usage(w->c).allocated, 0);
}

#define STEP_TEST(name, prepare, warm, operate, judge)                                           \
  LONG_TEST(name, 150) {                                                                         \
    step_through(&(struct step_case){"queue: " #name, prepare, warm, operate, judge, NULL});     \
  }

STEP_TEST(kill_in_put_inline, prepare_small, NULL, put_small, judge_put)
STEP_TEST(kill_in_put_block, prepare_small, warm_magazines, put_large, judge_put)
STEP_TEST(kill_in_put_of_counted_bytes, prepare_bytes, warm_magazines, put_small, judge_put)
STEP_TEST(kill_in_put_to_a_new_segment, prepare_full_segment, warm_magazines, put_small, judge_put)
STEP_TEST(kill_in_get_inline, prepare_small, NULL, get_one, judge_get)
STEP_TEST(kill_in_get_block, prepare_large, warm_magazines, get_one, judge_get)
STEP_TEST(kill_in_get_of_counted_bytes, prepare_bytes, warm_magazines, get_one, judge_get)
STEP_TEST(kill_in_get_from_a_new_segment, prepare_read_segment, warm_magazines, get_one,
          judge_get_last)
STEP_TEST(kill_in_get_and_task_done, prepare_joinable, NULL, get_and_finish, judge_joinable)

/* ---- a get that makes room, a put that is waited for ---- */

static int put_fifth(struct step_world *w) {
  unsigned char bytes[SMALL];
  memset(bytes, 5, SMALL);
  return mp_queue_put(w->object, &(mp_parcel){.bytes = bytes, .length = SMALL}, mp_in(20));
}

static int get_any(struct step_world *w) {
  mp_letter l;
  int r = mp_queue_get(w->object, mp_in(20), &l);
  if (r != 0) return -1;
  int n = (int)letter_number(&l);
  mp_letter_free(w->c, &l);
  return n;
}

/* Full of messages 1 and 2, and the peer waits for room. Once: the same queue serves every kill. */
static void prepare_full(struct step_world *w) {
  if (w->object == NULL) {
    CHECK_EQ(mp_queue_new(w->c, &(mp_queue_options){.max_items = 2}, &w->object), 0);
    peer_start(w, put_fifth);
  }
  for (unsigned n = 1; n <= 2; n++) CHECK_EQ(put(w->object, n, SMALL), 0);
}

static void prepare_empty(struct step_world *w) {
  if (w->object == NULL) {
    CHECK_EQ(mp_queue_new(w->c, &(mp_queue_options){0}, &w->object), 0);
    peer_start(w, get_any);
  }
}

/* Whether the victim has made room or we do: the peer is through. */
static void settle_full(struct step_world *w) {
  w->state[1] = take(w->object);
  CHECK_EQ(peer_answer(w), 0);
}

static void judge_full(struct step_world *w, bool done) {
  intptr_t first = w->state[1];
  if (w->shared->note[0] >= RETURNED) CHECK_EQ(w->shared->note[1], 1);
  if (w->shared->note[0] >= RETURNED || done) CHECK_EQ(first, 2);
  CHECK(first == 1 || first == 2);
  if (first == 1) CHECK_EQ(take(w->object), 2);
  CHECK_EQ(take(w->object), 5);
  CHECK_EQ(take(w->object), 0);
}

/* If the victim's message is there the peer gets it, else ours. */
static void settle_empty(struct step_world *w) {
  CHECK_EQ(put(w->object, 6, SMALL), 0);
  w->state[1] = peer_answer(w);
}

static void judge_empty(struct step_world *w, bool done) {
  CHECK(w->state[1] == 1 || w->state[1] == 6);
  if (w->shared->note[0] == RETURNED || done) CHECK_EQ(w->state[1], 1);
  CHECK_EQ(take(w->object), w->state[1] == 1 ? 6 : 0);
}

LONG_TEST(kill_in_get_that_wakes_a_producer, 150) {
  step_through(&(struct step_case){"queue: get that wakes a producer", prepare_full, peer_ask,
                                   get_one, judge_full, settle_full});
}

LONG_TEST(kill_in_put_that_wakes_a_consumer, 150) {
  step_through(&(struct step_case){"queue: put that wakes a consumer", prepare_empty, peer_ask,
                                   put_small, judge_empty, settle_empty});
}
