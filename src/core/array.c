/*
** Array: the elements, what they may hold, and the lock that goes with them.
**
** Structure: one block: the object, what is fixed about it, the elements. A locked array mentions
** the lock that its maker named; `counted` says whether that mention is counted yet.
** Lock: none of our own. An element changes by one aligned store or compare-and-swap, which is its
** commit, so add, exchange and compare_exchange are atomic even for users that go round the lock.
** That one only keeps whole sections of users apart.
** Invariant: `code`, `flags`, `count` and `lock` never change; the block has room for all elements.
** Death: an element is the old or the new one; of a write of many, the first ones are new and the
** rest old. An array on its way into the world stands in pending as an object, so that its cleaner
** takes the mention back; a dead user's lock is given back by the lock's own clean-up.
*/
#include "array.h"

#include <errno.h>
#include <math.h>
#include <string.h>

#include "check.h"

/* shared; fixed after publishing, except `counted`, which destroy takes back, and the elements */
struct array {
  struct mp_object object;
  mp_w32 code;
  mp_w32 flags;
  mp_w64 count;
  mp_ticket lock; /* of a locked one */
  mp_w32 counted; /* 1: the lock counts our mention */
  mp_w32 unused;
  /* the elements follow, aligned to 8 */
};

/* ---- what an element may hold ---- */

struct element {
  uint8_t size;
  bool real, is_signed;
  int64_t low, high; /* of an integer */
};

static const struct element elements[128] = {
    ['c'] = {1, false, false, 0, UINT8_MAX},
    ['b'] = {1, false, true, INT8_MIN, INT8_MAX},
    ['B'] = {1, false, false, 0, UINT8_MAX},
    ['h'] = {2, false, true, INT16_MIN, INT16_MAX},
    ['H'] = {2, false, false, 0, UINT16_MAX},
    ['i'] = {4, false, true, INT32_MIN, INT32_MAX},
    ['I'] = {4, false, false, 0, UINT32_MAX},
    ['u'] = {4, false, false, 0, 0x10ffff},
    ['l'] = {8, false, true, INT64_MIN, INT64_MAX},
    ['L'] = {8, false, false, 0, INT64_MAX},
    ['q'] = {8, false, true, INT64_MIN, INT64_MAX},
    ['Q'] = {8, false, false, 0, INT64_MAX},
    ['f'] = {4, true, true, 0, 0},
    ['d'] = {8, true, true, 0, 0},
};

static const struct element *element_of(char code) {
  const struct element *e = &elements[(unsigned char)code & 127];
  return ((unsigned char)code & 128) == 0 && e->size != 0 ? e : NULL;
}

int mp_array_type(char code, mp_number_type *out) {
  const struct element *e = element_of(code);
  if (e == NULL) return -EINVAL;
  *out = (mp_number_type){e->size, e->real, e->low, e->high};
  return 0;
}

static uint64_t bits_load(const void *at, unsigned size) {
  switch (size) {
    case 1:
      return __atomic_load_n((const uint8_t *)at, __ATOMIC_ACQUIRE);
    case 2:
      return __atomic_load_n((const uint16_t *)at, __ATOMIC_ACQUIRE);
    case 4:
      return __atomic_load_n((const uint32_t *)at, __ATOMIC_ACQUIRE);
    default:
      return __atomic_load_n((const uint64_t *)at, __ATOMIC_ACQUIRE);
  }
}

static void bits_store(void *at, unsigned size, uint64_t bits) {
  MP_CRASH_POINT();
  switch (size) {
    case 1:
      __atomic_store_n((uint8_t *)at, (uint8_t)bits, __ATOMIC_RELEASE);
      break;
    case 2:
      __atomic_store_n((uint16_t *)at, (uint16_t)bits, __ATOMIC_RELEASE);
      break;
    case 4:
      __atomic_store_n((uint32_t *)at, (uint32_t)bits, __ATOMIC_RELEASE);
      break;
    default:
      __atomic_store_n((uint64_t *)at, bits, __ATOMIC_RELEASE);
      break;
  }
}

#define CAS(type, at, expected, bits)                                                             \
  do {                                                                                            \
    type old_ = (type)*(expected);                                                                \
    bool done_ = __atomic_compare_exchange_n((type *)(at), &old_, (type)(bits), false,            \
                                             __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);                 \
    *(expected) = old_;                                                                           \
    return done_;                                                                                 \
  } while (0)

static bool bits_cas(void *at, unsigned size, uint64_t *expected, uint64_t bits) {
  MP_CRASH_POINT();
  switch (size) {
    case 1:
      CAS(uint8_t, at, expected, bits);
    case 2:
      CAS(uint16_t, at, expected, bits);
    case 4:
      CAS(uint32_t, at, expected, bits);
    default:
      CAS(uint64_t, at, expected, bits);
  }
}

static mp_number number_of(const struct element *e, uint64_t bits) {
  mp_number n;
  if (e->real && e->size == 8) {
    memcpy(&n.f, &bits, sizeof n.f);
  } else if (e->real) {
    uint32_t half = (uint32_t)bits;
    float f;
    memcpy(&f, &half, sizeof f);
    n.f = (double)f;
  } else {
    unsigned spare = 64 - 8u * e->size;
    n.i = e->is_signed ? (int64_t)(bits << spare) >> spare : (int64_t)bits;
  }
  return n;
}

static int bits_of(const struct element *e, mp_number n, uint64_t *bits) {
  if (!e->real) {
    if (n.i < e->low || n.i > e->high) return -ERANGE;
    *bits = (uint64_t)n.i;
  } else if (e->size == 8) {
    memcpy(bits, &n.f, sizeof n.f);
  } else {
    uint32_t half;
    float f = (float)n.f;
    if (isinf(f) && !isinf(n.f)) return -ERANGE;
    memcpy(&half, &f, sizeof f);
    *bits = half;
  }
  return 0;
}

int mp_number_pack(char code, mp_number n, void *out) {
  const struct element *e = element_of(code);
  uint64_t bits = 0;
  int r = e == NULL ? -EINVAL : bits_of(e, n, &bits);
  if (r == 0) memcpy(out, &bits, e->size); /* little endian, as is all that we run on */
  return r;
}

int mp_number_unpack(char code, const void *in, mp_number *out) {
  const struct element *e = element_of(code);
  uint64_t bits = 0;
  if (e == NULL) return -EINVAL;
  memcpy(&bits, in, e->size);
  *out = number_of(e, bits);
  return 0;
}

/* ---- elements ---- */

static struct array *array_of(const mp_array *a) {
  return (struct array *)(void *)a->object;
}

static unsigned char *array_data(struct array *s) {
  return (unsigned char *)(s + 1);
}

/* The element's address, or NULL. */
static void *array_at(struct array *s, const struct element *e, size_t i) {
  return i < w64_get(&s->count) ? array_data(s) + i * e->size : NULL;
}

static const struct element *array_element(const struct array *s) {
  return &elements[w32_get(&s->code)];
}

int mp_array_get(mp_array *a, size_t i, mp_number *out) {
  struct array *s = array_of(a);
  const struct element *e = array_element(s);
  const void *at = array_at(s, e, i);
  if (at == NULL) return -EINVAL;
  *out = number_of(e, bits_load(at, e->size));
  return 0;
}

/* private; an element about to be written */
struct place {
  const struct element *e;
  void *at;
};

/* Where element i is, and the bits that n has there. */
static int array_place(mp_array *a, size_t i, mp_number n, struct place *p, uint64_t *bits) {
  struct array *s = array_of(a);
  p->e = array_element(s);
  p->at = array_at(s, p->e, i);
  return p->at == NULL ? -EINVAL : bits_of(p->e, n, bits);
}

int mp_array_set(mp_array *a, size_t i, mp_number n) {
  struct place p;
  uint64_t bits;
  int r = array_place(a, i, n, &p, &bits);
  if (r == 0) bits_store(p.at, p.e->size, bits);
  return r;
}

/* old + n, as the type has it. */
static int number_sum(const struct element *e, mp_number old, mp_number n, mp_number *sum) {
  if (e->real) {
    sum->f = old.f + n.f;
    return 0;
  }
  return __builtin_add_overflow(old.i, n.i, &sum->i) ? -ERANGE : 0;
}

int mp_array_add(mp_array *a, size_t i, mp_number n, mp_number *sum) {
  struct array *s = array_of(a);
  const struct element *e = array_element(s);
  void *at = array_at(s, e, i);
  if (at == NULL) return -EINVAL;
  for (uint64_t old = bits_load(at, e->size);;) {
    mp_number after;
    uint64_t bits;
    int r = number_sum(e, number_of(e, old), n, &after);
    if (r == 0) r = bits_of(e, after, &bits);
    if (r != 0) return r;
    if (!bits_cas(at, e->size, &old, bits)) continue;
    *sum = number_of(e, bits);
    return 0;
  }
}

int mp_array_exchange(mp_array *a, size_t i, mp_number n, mp_number *was) {
  struct place p;
  uint64_t bits;
  int r = array_place(a, i, n, &p, &bits);
  if (r != 0) return r;
  uint64_t old = bits_load(p.at, p.e->size);
  while (!bits_cas(p.at, p.e->size, &old, bits)) {}
  *was = number_of(p.e, old);
  return 0;
}

static bool number_same(const struct element *e, mp_number a, mp_number b) {
  return e->real ? a.f == b.f : a.i == b.i;
}

int mp_array_compare_exchange(mp_array *a, size_t i, mp_number expected, mp_number n, int *done) {
  struct place p;
  uint64_t bits;
  int r = array_place(a, i, n, &p, &bits);
  if (r != 0) return r;
  uint64_t old = bits_load(p.at, p.e->size);
  bool same;
  do same = number_same(p.e, number_of(p.e, old), expected);
  while (same && !bits_cas(p.at, p.e->size, &old, bits));
  *done = same;
  return 0;
}

static bool array_spans(const struct array *s, size_t first, size_t n) {
  uint64_t count = w64_get(&s->count);
  return first <= count && n <= count - first;
}

int mp_array_read(mp_array *a, size_t first, size_t n, void *out) {
  struct array *s = array_of(a);
  const struct element *e = array_element(s);
  if (!array_spans(s, first, n)) return -EINVAL;
  const unsigned char *at = array_data(s) + first * e->size;
  unsigned char *to = out;
  for (size_t i = 0; i < n; i++, at += e->size, to += e->size) {
    uint64_t bits = bits_load(at, e->size);
    memcpy(to, &bits, e->size);
  }
  return 0;
}

int mp_array_write(mp_array *a, size_t first, size_t n, const void *in) {
  struct array *s = array_of(a);
  const struct element *e = array_element(s);
  if (!array_spans(s, first, n)) return -EINVAL;
  unsigned char *at = array_data(s) + first * e->size;
  const unsigned char *from = in;
  for (size_t i = 0; i < n; i++, at += e->size, from += e->size) {
    uint64_t bits = 0;
    memcpy(&bits, from, e->size);
    bits_store(at, e->size, bits);
  }
  return 0;
}

mp_array_shape mp_array_shape_of(const mp_array *a) {
  const struct array *s = array_of(a);
  unsigned flags = w32_get(&s->flags) | (w32_get(&s->counted) != 0 ? MP_ARRAY_LOCKED : 0);
  return (mp_array_shape){(char)w32_get(&s->code), flags, (size_t)w64_get(&s->count)};
}

int mp_array_lock(mp_array *a, struct mp_handle **out) {
  struct array *s = array_of(a);
  return w32_get(&s->counted) == 0 ? MP_EMPTY : mp_handle_open(a->context, s->lock, out);
}

/* ---- life ---- */

/* The lock's mention is a transaction of its own. From before it, the block in pending counts as an
** object: should we die, our cleaner takes the mention back and then frees the block. */
static int array_mention(struct mp_context *c, struct array *s, mp_ref ref,
                         const struct mp_handle *lock) {
  if (lock == NULL) return 0;
  s->lock = mp_handle_ticket(lock);
  w64_put(mp_heap_pending_entry(c, ref), ref | (uint64_t)MP_BLOCK_OBJECT << 32);
  return mp_object_mention(c, s->lock, &s->counted);
}

int mp_array_new(mp_context *c, const mp_array_options *o, mp_array **out) {
  const struct element *e = element_of(o->code);
  struct mp_handle *h;
  size_t bytes;
  if (e == NULL) return -EINVAL;
  if (__builtin_mul_overflow(o->count, (size_t)e->size, &bytes) ||
      __builtin_add_overflow(bytes, sizeof(struct array), &bytes))
    return -ENOMEM;
  int r = mp_object_new(c, MP_KIND_ARRAY, bytes, &h);
  if (r != 0) return r;
  struct array *s = array_of(h);
  w32_put(&s->code, (uint32_t)o->code);
  w32_put(&s->flags, o->flags & MP_ARRAY_SCALAR);
  w64_put(&s->count, o->count);
  if (o->elements != NULL) memcpy(array_data(s), o->elements, o->count * e->size);
  r = array_mention(c, s, h->ref, o->lock);
  if (r != 0) {
    mp_object_drop(h);
    return r;
  }
  mp_object_publish(h, NULL, 0);
  *out = h;
  return 0;
}

mp_array *mp_array_close(mp_array *a) {
  return mp_handle_close(a);
}

static void array_destroy(struct mp_context *c, struct mp_object *o) {
  struct array *s = (struct array *)(void *)o;
  if (w32_get(&s->counted) != 0) mp_object_forget(c, s->lock, &s->counted);
}

static const char *array_check(struct mp_context *c, struct mp_object *o, struct mp_walk *w) {
  struct array *s = (struct array *)(void *)o;
  const struct element *e = element_of((char)w32_get(&s->code));
  uint64_t room = mp_heap_room(c, mp_ref_of(c, o)) - sizeof *s;
  if (e == NULL) return "array: its code is none";
  if (w64_get(&s->count) > room / e->size) return "array: its block is too small";
  if ((w32_get(&s->flags) & MP_ARRAY_SCALAR) && w64_get(&s->count) != 1)
    return "array: a value is not one";
  return w32_get(&s->counted) != 0 ? mp_walk_mention(w, s->lock) : NULL;
}

const struct mp_kind mp_array_kind = {"Array", NULL, array_destroy, array_check};
