/*
** The arena: a memfd, sealed so that nobody can truncate it under us, and one shared mapping.
**
** Structure: a header page, then the regions of the layers above in the order of enum
** mp_region, each from a page boundary on. The mapping has its final size from the start, so
** that nothing is ever remapped; memory comes page by page when a layer commits it.
** Lock: none; the header is written by its creator before anybody else can see it.
** Invariant: the magic number is there only when all other fields are.
** Death: a creator that dies leaves an anonymous file that the kernel frees with its last
** descriptor. Nothing has a name in a file system.
*/
#include "arena.h"

#include <errno.h>
#include <string.h>

#include "os.h"

#define ARENA_SIZE_MAX (UINT64_C(64) << 30) /* what a 32-bit count of granules can name */
#define ARENA_SIZE_MIN (UINT64_C(64) << 20)

static uint64_t arena_page(void) {
  return (uint64_t)mp_os_page_size();
}

void mp_arena_choose(struct mp_arena_options *o) {
  uint64_t ram = UINT64_C(1) << 30;
  if (o->size == 0 || o->limit == 0) (void)mp_os_ram(&ram); /* unknown: a small machine */
  if (o->limit == 0) o->limit = ram / 2;
  if (o->size == 0) o->size = ram < ARENA_SIZE_MAX / 4 ? ram * 4 : ARENA_SIZE_MAX;
  if (o->size > ARENA_SIZE_MAX) o->size = ARENA_SIZE_MAX;
  if (o->size < ARENA_SIZE_MIN) o->size = ARENA_SIZE_MIN;
  o->size = mp_round_up(o->size, UINT64_C(1) << 20);
}

/* Address space may be short (ulimit -v, ulimit -f): a quarter of it is asked for next. */
static int arena_reserve(uint64_t size, uint64_t least, struct mp_arena *a) {
  for (;; size = mp_round_up(size / 4, UINT64_C(1) << 20)) {
    void *base;
    int r = mp_os_memfd("multiprocessing", (size_t)size, &a->fd);
    if (r == 0) {
      r = mp_os_map(a->fd, (size_t)size, &base);
      if (r == 0) {
        a->base = base;
        a->size = (size_t)size;
        return 0;
      }
      a->fd = mp_os_close(a->fd);
    }
    if ((r != -ENOMEM && r != -EFBIG && r != -EINVAL) || size / 4 < least) return r;
  }
}

/* Lays the regions out and fills the header in; the magic comes last. */
static void arena_format(struct mp_arena *a, const struct mp_arena_options *o) {
  struct mp_arena_header *h = mp_arena_head(a);
  uint64_t at = mp_round_up(sizeof *h, arena_page());
  for (int r = 0; r < MP_REGIONS; r++) {
    uint64_t bytes = r == MP_REGION_DATA ? a->size - at : mp_round_up(o->region[r], arena_page());
    w64_put(&h->region[r].offset, at);
    w64_put(&h->region[r].bytes, bytes);
    at += bytes;
  }
  uint64_t id[2] = {0, 0}, namespace_id = 0;
  (void)mp_os_random(id, sizeof id);
  (void)mp_os_pidns(&namespace_id);
  w32_put(&h->version, MP_LAYOUT_VERSION);
  w32_put(&h->signature, o->signature);
  w64_put(&h->id[0], id[0]);
  w64_put(&h->id[1], id[1]);
  w64_put(&h->pid_namespace, namespace_id);
  w64_put(&h->size, a->size);
  w64_put(&h->limit, o->limit);
  w64_put(&h->magic, MP_ARENA_MAGIC);
}

int mp_arena_create(const struct mp_arena_options *o, struct mp_arena *out) {
  uint64_t size = o->size, least = ARENA_SIZE_MIN;
  for (int r = 0; r < MP_REGION_DATA; r++) least += o->region[r];
  if (size < least) size = mp_round_up(least, UINT64_C(1) << 20);
  struct mp_arena a;
  int r = arena_reserve(size, least, &a);
  if (r != 0) return r;
  r = mp_arena_commit(&a, a.base, sizeof(struct mp_arena_header));
  if (r != 0) {
    mp_arena_detach(&a);
    return r;
  }
  arena_format(&a, o);
  *out = a;
  return 0;
}

/* What a stranger's file is refused for, or NULL. */
static const char *arena_refusal(const struct mp_arena_header *h, uint32_t signature,
                                 uint64_t size) {
  uint64_t namespace_id = 0;
  (void)mp_os_pidns(&namespace_id);
  if (w64_get_acquire(&h->magic) != MP_ARENA_MAGIC) return "this is no session's memory";
  if (w32_get(&h->version) != MP_LAYOUT_VERSION || w32_get(&h->signature) != signature)
    return "the session was made by another version of multiprocessing";
  if (w64_get(&h->size) != size) return "the session's memory has another size than it says";
  if (w64_get(&h->pid_namespace) != namespace_id)
    return "the session lives in another pid namespace";
  return NULL;
}

int mp_arena_attach(int fd, uint32_t signature, struct mp_arena *out, const char **why) {
  struct mp_arena a;
  uint64_t size;
  int r = mp_os_file_size(fd, &size);
  if (r != 0) return r;
  *why = "this is no session's memory";
  if (size < ARENA_SIZE_MIN || size > ARENA_SIZE_MAX) return MP_FOREIGN;
  r = mp_os_dup(fd, &a.fd);
  if (r != 0) return r;
  void *base;
  r = mp_os_map(a.fd, (size_t)size, &base);
  if (r != 0) {
    (void)mp_os_close(a.fd);
    return r;
  }
  a.base = base;
  a.size = (size_t)size;
  const char *refusal = arena_refusal(mp_arena_head(&a), signature, size);
  if (refusal != NULL) {
    mp_arena_detach(&a);
    *why = refusal;
    return MP_FOREIGN;
  }
  *out = a;
  return 0;
}

void mp_arena_detach(struct mp_arena *a) {
  if (a->base != NULL) mp_os_unmap(a->base, a->size);
  a->base = NULL;
  a->fd = mp_os_close(a->fd);
}

int mp_arena_commit(const struct mp_arena *a, const void *at, size_t bytes) {
  uint64_t page = arena_page();
  uint64_t from = (uint64_t)((const unsigned char *)at - a->base) / page * page;
  uint64_t to = mp_round_up((uint64_t)((const unsigned char *)at - a->base) + bytes, page);
  return mp_os_commit(a->fd, from, to - from);
}

void mp_arena_punch(const struct mp_arena *a, const void *at, size_t bytes) {
  uint64_t page = arena_page();
  uint64_t from = mp_round_up((uint64_t)((const unsigned char *)at - a->base), page);
  uint64_t to = ((uint64_t)((const unsigned char *)at - a->base) + bytes) / page * page;
  if (to > from) (void)mp_os_punch(a->fd, from, to - from); /* absent: the memory stays ours */
}

const char *mp_arena_check(const struct mp_arena *a) {
  const struct mp_arena_header *h = mp_arena_head(a);
  if (w64_get(&h->magic) != MP_ARENA_MAGIC) return "arena: the magic number is gone";
  if (w64_get(&h->size) != a->size) return "arena: the header's size is not the mapping's";
  uint64_t at = mp_round_up(sizeof *h, arena_page());
  for (int r = 0; r < MP_REGIONS; r++) {
    if (w64_get(&h->region[r].offset) != at) return "arena: the regions do not touch";
    at += w64_get(&h->region[r].bytes);
  }
  return at == a->size ? NULL : "arena: the regions do not fill it";
}
