/*
** The arena: one sealed memfd, mapped once and whole, that holds every shared object of a
** session. It is cut at creation into regions, one for each layer that keeps a root in it;
** the arena knows their sizes and nothing of their contents.
*/
#ifndef MP_ARENA_H
#define MP_ARENA_H

#include "word.h"

#define MP_ARENA_MAGIC UINT64_C(0x6d702d6172656e61)
#define MP_LAYOUT_VERSION 1u

/* Which layer a region belongs to; the order is the order in memory. */
enum mp_region { MP_REGION_OBJECTS, MP_REGION_SLOTS, MP_REGION_HEAP, MP_REGION_DATA, MP_REGIONS };

/* shared; fixed after creation, except where said */
struct mp_arena_header {
  mp_w64 magic;               /* stored last at creation */
  mp_w32 version, signature;  /* sizes of all shared structures, folded (mp_arena_signature) */
  mp_w64 id[2];               /* random name of the session */
  mp_w64 pid_namespace;       /* pids mean the same only within one */
  mp_w64 size;                /* bytes of the mapping */
  mp_w64 limit;               /* bytes of memory that may be in use at once */
  struct {
    mp_w64 offset, bytes;
  } region[MP_REGIONS];
  mp_w64 last_scan; /* atomic; when somebody last looked for the dead (context.c) */
};

/* private; where this process has the arena */
struct mp_arena {
  unsigned char *base;
  size_t size;
  int fd;
};

struct mp_arena_options {
  size_t size;                 /* address space to reserve; 0: min(64 GiB, 4 x RAM) */
  size_t limit;                /* bytes in use; 0: half of min(RAM, cgroup limit) */
  uint32_t signature;          /* of the caller's shared structures */
  size_t region[MP_REGIONS];   /* bytes for each; the data region takes the rest */
};

static inline struct mp_arena_header *mp_arena_head(const struct mp_arena *a) {
  return (struct mp_arena_header *)(void *)a->base;
}
static inline void *mp_arena_region(const struct mp_arena *a, enum mp_region r) {
  return a->base + w64_get(&mp_arena_head(a)->region[r].offset);
}
static inline size_t mp_arena_region_bytes(const struct mp_arena *a, enum mp_region r) {
  return w64_get(&mp_arena_head(a)->region[r].bytes);
}

/* Fills in the sizes that are 0. */
void mp_arena_choose(struct mp_arena_options *o);

/* Makes an arena; the sizes are chosen. The regions' address space is there, their memory is not: a
** layer commits what it is about to touch. -ENOMEM, -EMFILE, -EINVAL. */
MP_MUST_USE int mp_arena_create(const struct mp_arena_options *o, struct mp_arena *out);

/* Maps the arena behind fd, which is duplicated. MP_FOREIGN: no arena, another layout or
** another pid namespace; *why then says which, as a constant sentence. */
MP_MUST_USE int mp_arena_attach(int fd, uint32_t signature, struct mp_arena *out,
                                const char **why);

/* Unmaps. Shared objects go on living for the other processes. */
void mp_arena_detach(struct mp_arena *a);

/* Makes the memory behind [at, at+bytes) exist. -ENOMEM or -ENOSPC where there is none:
** asking here is what keeps a store from ending in SIGBUS. */
MP_MUST_USE int mp_arena_commit(const struct mp_arena *a, const void *at, size_t bytes);

/* Gives the memory behind whole pages of [at, at+bytes) back; it reads as zero afterwards. */
void mp_arena_punch(const struct mp_arena *a, const void *at, size_t bytes);

/* Folds one more structure size into a layout signature. */
static inline uint32_t mp_arena_fold(uint32_t signature, size_t size) {
  return (signature ^ (uint32_t)size) * UINT32_C(16777619);
}

/* Proves what must hold of the header. NULL, or what is wrong. */
const char *mp_arena_check(const struct mp_arena *a);

#endif
