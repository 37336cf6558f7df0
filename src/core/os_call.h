/* os_call.h -- how the os_*.c files call the kernel: which answers mean that a call is absent,
** and how tests make calls fail.
**
** Every fallible system call goes through MP_CALL, and each one that has a fallback through
** MP_TRY with its name in the table below. In normal builds both are the bare call. In test builds
** (-DMP_TEST) os_fault.c may answer instead, in two ways:
**
** - mp_os_fail_after = n: the n-th call from now (0: the next one) in this thread fails with
**   mp_os_fail_with, once. -1: off, and again -1 when it has struck. A test loops over n from 0
**   until a run leaves the counter >= 0: then it has outlived all the calls there are.
** - MP_DENY=pidfd_open,populate=EPERM in the environment, or mp_os_deny("...") from a test: these
**   calls answer as absent, with ENOSYS or with the errno named (ENOSYS, EPERM, EINVAL).
*/
#ifndef MP_OS_CALL_H
#define MP_OS_CALL_H

#include <errno.h>

/* The calls that may be absent, one for each fallback in os.h's table. */
#define MP_OS_ABSENTABLE(X) \
  X(memfd_noexec)  \
  X(seal)          \
  X(dontdump)      \
  X(punch)         \
  X(populate)      \
  X(wipe_on_fork)  \
  X(pidfd_open)    \
  X(pidfd_signal)  \
  X(pidfd_wait)    \
  X(close_range)   \
  X(close_range_cloexec) \
  X(getrandom)     \
  X(proc)

enum mp_os_absentable {
#define MP_OS_ENUM(name) mp_os_call_##name,
  MP_OS_ABSENTABLE(MP_OS_ENUM)
#undef MP_OS_ENUM
  mp_os_call_count
};

/* Containers' filters answer EPERM or EINVAL as readily as ENOSYS. Only for calls that a correct
** caller gets none of these from. */
static inline int mp_os_absent(int error) {
  return error == ENOSYS || error == EPERM || error == EINVAL;
}

#ifdef MP_TEST

#ifdef __cplusplus
extern "C" {
#else
extern _Thread_local int mp_os_fail_after;
extern _Thread_local int mp_os_fail_with;   /* an errno; EIO at first */
#endif

int mp_os_faulty(void);                            /* 1: this call fails, errno is set */
int mp_os_denied(enum mp_os_absentable call);      /* 1: this call is absent, errno is set */
void mp_os_deny(const char *calls);                /* replaces the list; NULL: back to MP_DENY */

#ifdef __cplusplus
}
#endif

#define MP_CALL(call) (mp_os_faulty() ? -1 : (call))
#define MP_TRY(name, call) \
  (mp_os_denied(mp_os_call_##name) || mp_os_faulty() ? -1 : (call))

#else

#define MP_CALL(call) (call)
#define MP_TRY(name, call) (call)

#endif

#endif
