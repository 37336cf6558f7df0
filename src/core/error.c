/*
** Errors: what a result means, in words; and, in test builds, what a failed assertion does and
** the hook that crash points call (word.h).
*/
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "word.h"

static const char *const condition_texts[] = {
  [MP_OK] = "done",
  [MP_TIMEOUT] = "the time is up",
  [MP_EMPTY] = "nothing is there",
  [MP_FULL] = "there is no room",
  [MP_CLOSED] = "it is closed",
  [MP_ABANDONED] = "its last holder died",
  [MP_INTERRUPTED] = "interrupted by a signal",
  [MP_BROKEN] = "it is broken",
  [MP_NOT_OWNER] = "it is held by somebody else",
  [MP_LIMIT] = "a limit is reached",
  [MP_TOO_BIG] = "it is too big",
  [MP_FOREIGN] = "it is not of this session",
  [MP_LOST] = "the process that had it died",
};

const char *mp_strerror(int result) {
  if (result < 0) return strerror(-result);
  if ((size_t)result >= MP_COUNT_OF(condition_texts)) return "unknown result";
  return condition_texts[result];
}

#ifdef MP_TEST

_Thread_local void (*mp_crash_hook)(const char *file, int line);

void mp_assert_failed(const char *what, const char *file, int line) {
  fprintf(stderr, "%s:%d: assertion failed: %s\n", file, line, what);
  abort();
}

#endif
