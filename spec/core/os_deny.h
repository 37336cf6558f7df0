/* os_deny.h -- runs a body with calls absent, in each way that kernels and containers have of
** saying so. The cases of os_*_test.c use it; each runs in a process of its own, so that nothing
** has to be put back.
*/
#ifndef SPEC_CORE_OS_DENY_H
#define SPEC_CORE_OS_DENY_H

#include <stdio.h>

#include "../../src/core/os_call.h"

static void without(const char *call, void (*body)(void)) {
  static const char *const ways[] = { "ENOSYS", "EPERM", "EINVAL" };
  for (size_t i = 0; i < sizeof ways / sizeof *ways; i++) {
    char denial[64];
    snprintf(denial, sizeof denial, "%s=%s", call, ways[i]);
    mp_os_deny(denial);
    body();
  }
}

#endif
