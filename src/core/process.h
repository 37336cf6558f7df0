/*
** Process: what the sources of started processes share. The functions for everybody are in
** multiprocessing.h.
*/
#ifndef MP_PROCESS_H
#define MP_PROCESS_H

#include "context.h"

/* private; a child, or with `starter` the process that started this one */
struct mp_process {
  struct mp_context *context; /* NULL: a handle of another process, or its context has ended */
  struct mp_process *next;    /* in context->children: neither ended nor foreign */
  uint32_t generation;        /* the context's guard value when it was started */
  uint32_t tag;               /* of the child's slot */
  int32_t pid;
  int fd;        /* readable at its end: a pidfd, or a pipe where pidfds are absent; or -1 */
  int status;    /* once ended: exit code or -signal */
  bool pidfd;    /* fd is one */
  bool daemon, copy, starter;
  bool ended;
  bool known;    /* status is true; else nobody knows it */
  bool kept;     /* the user has a handle */
  bool lent;     /* the user has asked for fd: it stays open until the handle is closed */
  /* if set: what its parent does at its own end, instead of terminating it, before it waits for
  ** it */
  void (*farewell)(void *arg);
  void *farewell_arg;
};

/* Ties this process, a daemon's that was just forked with all signals blocked, to its parent: it is
** killed when that one ends. */
void mp_process_leash(int32_t parent, bool by_main_thread);

/* Waits for the end without looking at the interruption hook. 0, MP_TIMEOUT, -ECHILD. */
int mp_process_wait_quietly(struct mp_process *p, mp_deadline until);

/* This process was forked by somebody who did it for `pid` and ends with it: from now on that one
** is who has started it, and the processes that it starts end with it, daemons or not. */
void mp_process_started_by(int32_t pid);

/* From now on this process runs nothing of its host's: its signals and its standard input stay as
** its start has left them, so its children need not look at theirs, and have its handler of
** SIGINT. */
void mp_process_runs_no_host(void);

/* Records of children of another process, this one's parent, go out of the list. */
void mp_process_disown(struct mp_context *c);

#endif
