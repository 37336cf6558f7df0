/* trace.c -- the flight recorder.
**
** A ring of events, one cache line each, in memory that processes may share. A writer takes the
** next ticket, and thereby a place, with one atomic addition; there is no lock, so a recorder can
** be used inside any critical section and by the dying. Main invariant: a place whose first word
** is ticket + 1 holds that ticket's event whole. A writer zeroes that word, fills the others and
** sets it last; who dies in between leaves a place that a dump passes over, and the ring's next
** round repairs it. Two writers a whole round apart in one place can mix their words: the ring is
** a debugging aid and has room for thousands. File names are copied, as a pointer means nothing
** to another process.
*/
#include "trace.h"

#ifdef MP_TRACE

#include <string.h>

#define OWN_EVENTS 4096   /* a quarter of a MiB */
#define NAME_WORDS 3
#define NAME_SIZE (NAME_WORDS * sizeof(uint64_t))

/* All words atomic, without locks. */
struct place {
  _Atomic uint64_t mark;   /* ticket + 1 when whole; 0 while written or never */
  _Atomic uint64_t who_line;
  _Atomic uint64_t word, before, after;
  _Atomic uint64_t name[NAME_WORDS];   /* the end of the file's name, zero-padded */
};

struct ring {
  _Alignas(MP_CACHE_LINE) _Atomic uint64_t next;   /* the next ticket */
  _Alignas(MP_CACHE_LINE) struct place places[];
};

static _Alignas(MP_CACHE_LINE) unsigned char own[sizeof(struct ring) +
                                                 OWN_EVENTS * sizeof(struct place)];
/* fixed after mp_trace_use, which comes before other threads record */
static struct ring *ring = (struct ring *)(void *)own;
static uint64_t count = OWN_EVENTS;

size_t mp_trace_size(size_t n) {
  return sizeof(struct ring) + n * sizeof(struct place);
}

void mp_trace_use(void *memory, size_t size) {
  const int fits = memory != NULL && size >= mp_trace_size(1);
  ring = fits ? memory : (void *)own;
  count = fits ? (size - sizeof(struct ring)) / sizeof(struct place) : OWN_EVENTS;
}

static void name_put(struct place *p, const char *file) {
  uint64_t words[NAME_WORDS] = { 0 };
  const char *slash = strrchr(file, '/');
  const char *base = slash ? slash + 1 : file;
  size_t n = strlen(base);
  if (n > NAME_SIZE) {
    base += n - NAME_SIZE;
    n = NAME_SIZE;
  }
  memcpy(words, base, n);
  for (int i = 0; i < NAME_WORDS; i++) p->name[i] = words[i];
}

/* All sequentially consistent: a reader that sees one of the new words sees the zero mark, too. */
void mp_trace_record(const struct mp_trace_event *event) {
  uint64_t ticket = ring->next++;
  struct place *p = &ring->places[ticket % count];
  p->mark = 0;
  p->who_line = (uint64_t)event->who << 32 | (uint32_t)event->line;
  p->word = event->word;
  p->before = event->before;
  p->after = event->after;
  name_put(p, event->file);
  p->mark = ticket + 1;
}

/* Prints the ticket's event if it stands whole in its place before and after it is read. */
static size_t dump_one(FILE *out, uint64_t ticket) {
  struct place *p = &ring->places[ticket % count];
  uint64_t name[NAME_WORDS];
  if (p->mark != ticket + 1) return 0;
  uint64_t who_line = p->who_line, word = p->word, before = p->before, after = p->after;
  for (int i = 0; i < NAME_WORDS; i++) name[i] = p->name[i];
  if (p->mark != ticket + 1) return 0;
  fprintf(out, "%llu process %u %.*s:%u word %#llx: %#llx -> %#llx\n",
          (unsigned long long)ticket, (unsigned)(who_line >> 32), (int)NAME_SIZE,
          (const char *)name, (unsigned)(who_line & 0xffffffff), (unsigned long long)word,
          (unsigned long long)before, (unsigned long long)after);
  return 1;
}

size_t mp_trace_dump(FILE *out) {
  uint64_t end = ring->next, n = 0;
  for (uint64_t ticket = end > count ? end - count : 0; ticket < end; ticket++)
    n += dump_one(out, ticket);
  return (size_t)n;
}

#endif
