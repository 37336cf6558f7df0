/*
** The laboratory of crash enumeration: pictures of a whole small session, taken once and put back
** as often as needed, so that a world costs microseconds and not a new arena.
**
** A picture has the program's own variables, its private heap and all of the arena that was ever
** written to. For that the program gets a malloc of its own (the C library keeps its own, whose
** state is no part of the picture). What the kernel keeps is no part of it either: descriptors,
** threads and children must not come or go between a picture and its return.
**
** The lab also makes the n-th thing fail that can fail for want of something: a private
** allocation, a block of the arena, a system call.
**
** One thread only. The lab's own variables stand outside of the picture.
*/
#ifndef SPEC_CORE_CRASH_LAB_H
#define SPEC_CORE_CRASH_LAB_H

#include "../../src/core/context.h"
#include "../../src/core/os_call.h"
#include "test.h"

#define LAB_PICTURES 2
#define LAB_EXTENTS 500            /* pieces of the arena that a picture may consist of */
#define LAB_ROOM ((size_t)1 << 30) /* address space for a picture's bytes, and for the heap */
#define LAB_CLASSES 40
#define LAB_PAGE 4096u
#define LAB_PAGES 65536u           /* of the arena, from its start, that are kept */

enum lab_failing { LAB_NOTHING, LAB_MALLOC, LAB_BLOCK, LAB_CALL, LAB_FAILINGS };

struct lab_failure {
  enum lab_failing what;
  long n;     /* counted from 0 */
  bool again; /* what failed is tried again */
};

struct lab_extent { /* bytes from..to of the arena */
  off_t from, to;
};

struct lab_picture {
  unsigned char *bytes; /* variables, heap, then the extents, one after the other */
  size_t heap;
  struct lab_extent extent[LAB_EXTENTS];
  int extents;
};

/* Counts of this program, all cases together. */
struct lab_counts {
  long cases, stores, worlds, failures;
};

static struct lab {
  struct mp_arena arena;
  struct lab_picture picture[LAB_PICTURES];
  struct lab_extent now[LAB_EXTENTS];
  bool has_memory[LAB_PAGES]; /* by page of the arena: the kernel has given it */
  enum lab_failing failing;
  long fail_after; /* so many succeed before one fails; below 0: it has struck */
} *lab; /* these two stand in no picture */
static struct lab_counts *lab_counts; /* shared with the processes of all cases */

static void *lab_map(size_t bytes, int sharing) {
  void *at =
      mmap(NULL, bytes, PROT_READ | PROT_WRITE, sharing | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (at == MAP_FAILED) abort();
  return at;
}

/* Is the next one the one to fail? */
static bool lab_strikes(enum lab_failing what) {
  if (lab == NULL || lab->failing != what || lab->fail_after < 0) return false;
  return lab->fail_after-- == 0;
}

/* ---- the private heap: sizes are powers of two, freed blocks stand in a list for each ---- */

struct lab_block {
  size_t size_class;
  struct lab_block *next; /* of the free ones */
};

static unsigned char *lab_heap;
static size_t lab_heap_used;
static struct lab_block *lab_free[LAB_CLASSES];

static void *heap_take(size_t bytes) {
  size_t class = 5; /* 32 bytes, of which 16 are the user's */
  while (((size_t)1 << class) < bytes + sizeof(struct lab_block)) class++;
  struct lab_block *b = lab_free[class];
  if (b != NULL) {
    lab_free[class] = b->next;
    return b + 1;
  }
  if (lab_heap == NULL) lab_heap = lab_map(LAB_ROOM, MAP_PRIVATE);
  b = (struct lab_block *)(void *)(lab_heap + lab_heap_used);
  lab_heap_used += (size_t)1 << class;
  if (lab_heap_used > LAB_ROOM) abort();
  b->size_class = class;
  return b + 1;
}

static void heap_give(void *block) {
  struct lab_block *b = (struct lab_block *)block - 1;
  b->next = lab_free[b->size_class];
  lab_free[b->size_class] = b;
}

void *malloc(size_t bytes) {
  return lab_strikes(LAB_MALLOC) ? NULL : heap_take(bytes);
}

void free(void *block) {
  if (block != NULL) heap_give(block);
}

void *calloc(size_t n, size_t bytes) {
  if (lab_strikes(LAB_MALLOC)) return NULL;
  void *block = heap_take(n * bytes);
  memset(block, 0, n * bytes);
  return block;
}

void *realloc(void *old, size_t bytes) {
  if (lab_strikes(LAB_MALLOC)) return NULL;
  unsigned char *block = heap_take(bytes);
  if (old == NULL) return block;
  size_t had = ((size_t)1 << ((struct lab_block *)old - 1)->size_class) - sizeof(struct lab_block);
  memcpy(block, old, had < bytes ? had : bytes);
  heap_give(old);
  return block;
}

/* ---- what the linker sends here (--wrap in the Makefile) ---- */

int __real_mp_heap_reserve(struct mp_context *c, size_t bytes, enum mp_block_kind kind,
                           mp_ref *out);
int __wrap_mp_heap_reserve(struct mp_context *c, size_t bytes, enum mp_block_kind kind,
                           mp_ref *out);
int __real_mp_os_commit(int fd, uint64_t offset, uint64_t length);
int __wrap_mp_os_commit(int fd, uint64_t offset, uint64_t length);
int __real_mp_os_punch(int fd, uint64_t offset, uint64_t length);
int __wrap_mp_os_punch(int fd, uint64_t offset, uint64_t length);
int __real_mp_os_zombie_status(int32_t pid, uint64_t start, int *status);
int __wrap_mp_os_zombie_status(int32_t pid, uint64_t start, int *status);

int __wrap_mp_heap_reserve(struct mp_context *c, size_t bytes, enum mp_block_kind kind,
                           mp_ref *out) {
  return lab_strikes(LAB_BLOCK) ? -ENOMEM : __real_mp_heap_reserve(c, bytes, kind, out);
}

/* The kernel is slow to give memory and to take it back. So what it gave once stays, from world to
** world, and is zeroed instead of taken back. */
static bool lab_owns(int fd) {
  return lab != NULL && lab->arena.base != NULL && lab->arena.fd == fd &&
         lab->failing != LAB_CALL;
}

int __wrap_mp_os_commit(int fd, uint64_t offset, uint64_t length) {
  uint64_t from = offset / LAB_PAGE, to = (offset + length) / LAB_PAGE;
  if (!lab_owns(fd) || to > LAB_PAGES) return __real_mp_os_commit(fd, offset, length);
  while (from < to && lab->has_memory[from]) from++;
  if (from == to) return 0;
  int r = __real_mp_os_commit(fd, offset, length);
  if (r == 0) memset(lab->has_memory + from, 1, to - from);
  return r;
}

static void lab_clear(off_t from, off_t to) {
  for (off_t at = from; (at = lseek(lab->arena.fd, at, SEEK_DATA)) >= 0 && at < to;) {
    off_t hole = lseek(lab->arena.fd, at, SEEK_HOLE);
    if (hole > to) hole = to;
    memset(lab->arena.base + at, 0, (size_t)(hole - at));
    at = hole;
  }
}

int __wrap_mp_os_punch(int fd, uint64_t offset, uint64_t length) {
  if (!lab_owns(fd)) return __real_mp_os_punch(fd, offset, length);
  lab_clear((off_t)offset, (off_t)(offset + length));
  return 0;
}

/* All participants live in this process, which is no zombie: no need to read so in /proc. */
int __wrap_mp_os_zombie_status(int32_t pid, uint64_t start, int *status) {
  return pid == getpid() ? -ESRCH : __real_mp_os_zombie_status(pid, start, status);
}

/* From now on all goes well, or the n-th of these, counted from 0, fails. */
TEST_TOOL void lab_fail(enum lab_failing what, long n) {
  lab->failing = what;
  lab->fail_after = n;
  mp_os_fail_after = what == LAB_CALL ? (int)n : -1;
  mp_os_fail_with = ENOMEM;
}

/* Ends that, and says whether something failed. */
TEST_TOOL bool lab_failed(void) {
  long left = lab->failing == LAB_CALL ? mp_os_fail_after : lab->fail_after;
  lab_fail(LAB_NOTHING, -1);
  return left < 0;
}

/* ---- pictures ---- */

extern unsigned char __data_start[], _end[]; /* the program's variables, by the linker */

static size_t lab_variables(void) {
  return (size_t)(_end - __data_start);
}

/* The pieces of the arena that were written to: the kernel knows. */
static int lab_look(struct lab_extent *e) {
  int n = 0;
  for (off_t at = 0; (at = lseek(lab->arena.fd, at, SEEK_DATA)) >= 0; at = e[n++].to) {
    if (n == LAB_EXTENTS) test_fail(__FILE__, __LINE__, "too many pieces of memory");
    e[n].from = at;
    e[n].to = lseek(lab->arena.fd, at, SEEK_HOLE);
  }
  return n;
}

TEST_TOOL void lab_begin(const struct mp_context *c) {
  lab->arena = c->arena;
  for (int i = 0; i < LAB_PICTURES; i++)
    if (lab->picture[i].bytes == NULL) lab->picture[i].bytes = lab_map(LAB_ROOM, MAP_PRIVATE);
}

TEST_TOOL void lab_end(void) {
  lab->arena.base = NULL;
  memset(lab->has_memory, 0, sizeof lab->has_memory);
}

__attribute__((noinline)) static void lab_take(int which) {
  struct lab_picture *p = &lab->picture[which];
  size_t at = lab_variables();
  p->heap = lab_heap_used;
  memcpy(p->bytes, __data_start, at);
  memcpy(p->bytes + at, lab_heap, p->heap);
  at += p->heap;
  p->extents = lab_look(p->extent);
  for (int i = 0; i < p->extents; i++) {
    const struct lab_extent *e = &p->extent[i];
    memcpy(p->bytes + at, lab->arena.base + e->from, (size_t)(e->to - e->from));
    at += (size_t)(e->to - e->from);
  }
}

/* What was written to since then, and not before, was zero. */
static void lab_zero(const struct lab_picture *p) {
  const struct lab_extent *now = lab->now;
  int n = lab_look(lab->now), i = 0;
  for (int k = 0; k < n; k++) {
    for (off_t at = now[k].from; at < now[k].to;) {
      while (i < p->extents && p->extent[i].to <= at) i++;
      off_t from = i < p->extents && p->extent[i].from < now[k].to ? p->extent[i].from : now[k].to;
      if (from > at) memset(lab->arena.base + at, 0, (size_t)(from - at));
      at = from < now[k].to ? p->extent[i].to : now[k].to;
    }
  }
}

__attribute__((noinline)) static void lab_put_back(int which) {
  struct lab_picture *p = &lab->picture[which];
  lab_zero(p);
  size_t at = lab_variables();
  memcpy(__data_start, p->bytes, at);
  memcpy(lab_heap, p->bytes + at, p->heap);
  at += p->heap;
  for (int i = 0; i < p->extents; i++) {
    const struct lab_extent *e = &p->extent[i];
    memcpy(lab->arena.base + e->from, p->bytes + at, (size_t)(e->to - e->from));
    at += (size_t)(e->to - e->from);
  }
  __asm__ volatile("" ::: "memory");
}

/* ---- what was tried ---- */

static void lab_say(void) {
  const struct lab_counts *n = lab_counts;
  printf("crash total: %ld operations, %ld stores, %ld worlds, %ld failures\n", n->cases, n->stores,
         n->worlds, n->failures);
}

__attribute__((constructor)) static void lab_open(void) {
  lab = lab_map(sizeof *lab, MAP_PRIVATE);
  lab_counts = lab_map(sizeof *lab_counts, MAP_SHARED);
  test_last_words = lab_say;
}

#endif
