/* trace.h -- the flight recorder: what was stored in which shared word, by whom and from where.
** Compiled to nothing, its arguments unevaluated, unless MP_TRACE is defined.
*/
#ifndef MP_TRACE_H
#define MP_TRACE_H

#include <stdio.h>

#include "base.h"

#ifdef __cplusplus
extern "C" {
#endif

/* One store. `who` is the participant's tag, `word` the word's offset in the arena. */
struct mp_trace_event {
  const char *file;
  int line;
  uint32_t who;
  uint64_t word, before, after;
};

#ifdef MP_TRACE

/* The bytes that a ring of n events needs. */
size_t mp_trace_size(size_t n);

/* Records into this memory from now on, which begins zeroed, may be shared by all processes of a
** session, so that the events of one that was killed are kept, and outlives the recording. NULL,
** or no room for one event: the ring of this process alone, which is what is used at first. */
void mp_trace_use(void *memory, size_t size);

void mp_trace_record(const struct mp_trace_event *event);

/* Writes the events to a stream, oldest first, a line each; those that are being overwritten
** meanwhile are left out. The number written. */
size_t mp_trace_dump(FILE *out);

#define MP_TRACE_WORD(who, word, before, after)                                     \
  mp_trace_record(&(const struct mp_trace_event){ __FILE__, __LINE__, (who), (word), \
                                                  (before), (after) })

#else

#define MP_TRACE_WORD(who, word, before, after) \
  ((void)sizeof((who) + (word) + (before) + (after)))

static inline size_t mp_trace_dump(FILE *out) {
  (void)out;
  return 0;
}

#endif

#ifdef __cplusplus
}
#endif

#endif
