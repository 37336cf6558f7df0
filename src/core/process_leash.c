/*
** A daemon's leash: it ends when its parent ends, in whatever way.
**
** The kernel's parent-death signal comes when the *thread* ends that has forked, so it serves only
** where that was the main thread. Otherwise a small thread of the daemon sleeps on the parent's
** pidfd and kills its own process. In both cases the parent may have ended before we asked, which a
** second look at our parent's pid tells. Nothing is shared and nothing locked; the thread runs with
** all signals blocked, so that they find the main thread.
*/
#include <errno.h>
#include <pthread.h>
#include <stdint.h>

#include "clock.h"
#include "os.h"
#include "process.h"

#define LOOK_EVERY INT64_C(100000000) /* where pidfds are absent: 100 ms */

static void leash_pull(void) {
  (void)mp_os_signal_process(mp_os_pid(), -1, MP_OS_KILL);
}

static bool parent_gone(int32_t parent) {
  int32_t now = mp_os_parent_pid();
  return now != parent && now != 0; /* 0: it is in another pid namespace */
}

static void *leash_watch(void *argument) {
  int32_t parent = (int32_t)(intptr_t)argument;
  int fd = -1;
  bool sleeps = mp_os_pidfd(parent, &fd) == 0;
  while (!parent_gone(parent))
    (void)mp_os_wait_readable(fd, sleeps ? MP_FOREVER : mp_clock_after(LOOK_EVERY));
  leash_pull();
  return NULL;
}

static bool leash_thread(int32_t parent) {
  pthread_t thread;
  pthread_attr_t attributes;
  if (pthread_attr_init(&attributes) != 0) return false;
  (void)pthread_attr_setstacksize(&attributes, 65536);
  (void)pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
  int r = pthread_create(&thread, &attributes, leash_watch, (void *)(intptr_t)parent);
  pthread_attr_destroy(&attributes);
  return r == 0;
}

void mp_process_leash(int32_t parent, bool by_main_thread) {
  if (by_main_thread || !leash_thread(parent)) (void)mp_os_parent_death_signal(MP_OS_KILL);
  if (parent_gone(parent)) leash_pull();
}
