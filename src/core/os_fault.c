/* os_fault.c -- test builds only: system calls that fail when told to.
**
** The counter is one thread's, so that a test that fails its own calls does not fail those of a
** helper thread beside it. The list of denials is the process's, read from MP_DENY at the first
** call and inherited over fork; a test may replace it while no other thread is in a call. A name
** in it that no call has is a test that tests nothing: the process aborts. Nothing here is in
** shared memory, so a process that dies leaves nothing.
*/
#include "os_call.h"

#ifdef MP_TEST

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

_Thread_local int mp_os_fail_after = -1;
_Thread_local int mp_os_fail_with = EIO;

static const char *const call_names[] = {
#define MP_OS_NAME(name) #name,
  MP_OS_ABSENTABLE(MP_OS_NAME)
#undef MP_OS_NAME
};

/* errno of the denial by call, 0 for none; written at first use and by mp_os_deny */
static _Atomic int denied[mp_os_call_count];
static _Atomic int denials_known;

static _Noreturn void refuse(const char *what, const char *text, size_t n) {
  fprintf(stderr, "MP_DENY: no %s is called '%.*s'\n", what, (int)n, text);
  abort();
}

static int errno_named(const char *text, size_t n) {
  if (n == 0) return ENOSYS;
  if (n == 6 && memcmp(text, "ENOSYS", n) == 0) return ENOSYS;
  if (n == 5 && memcmp(text, "EPERM", n) == 0) return EPERM;
  if (n == 6 && memcmp(text, "EINVAL", n) == 0) return EINVAL;
  refuse("errno", text, n);
}

static int call_named(const char *text, size_t n) {
  for (int i = 0; i < mp_os_call_count; i++)
    if (strlen(call_names[i]) == n && memcmp(call_names[i], text, n) == 0) return i;
  refuse("call", text, n);
}

static void deny_one(const char *item, size_t n) {
  const char *equals = memchr(item, '=', n);
  size_t name = equals ? (size_t)(equals - item) : n;
  size_t value = equals ? n - name - 1 : 0;
  denied[call_named(item, name)] = errno_named(item + n - value, value);
}

void mp_os_deny(const char *calls) {
  if (calls == NULL) calls = getenv("MP_DENY");
  for (int i = 0; i < mp_os_call_count; i++) denied[i] = 0;
  while (calls && *calls) {
    size_t n = strcspn(calls, ",");
    if (n > 0) deny_one(calls, n);
    calls += n + (calls[n] == ',');
  }
  denials_known = 1;
}

int mp_os_denied(enum mp_os_absentable call) {
  if (!denials_known) mp_os_deny(NULL);
  if (denied[call] == 0) return 0;
  errno = denied[call];
  return 1;
}

int mp_os_faulty(void) {
  if (mp_os_fail_after < 0) return 0;
  if (mp_os_fail_after-- > 0) return 0;
  errno = mp_os_fail_with;
  return 1;
}

#endif
