/*
** Shows:  a C program without any Lua: a child process, a queue, a lock, and a death that harms
** nobody Build:  cc -o host examples/embed/host.c -lmultiprocessing -pthread
** Prints: got 42 | got 43 | the child ended with -9 | the lock is mine, its holder died
*/
#include <multiprocessing.h>

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

static void must(int result, const char *what) {
  if (result == 0) return;
  fprintf(stderr, "%s: %s\n", what, mp_strerror(result));
  exit(1);
}

/* Puts two numbers, takes the lock, and dies with it. */
static void child(mp_queue *queue, mp_lock *lock) {
  for (int n = 42; n <= 43; n++) {
    mp_parcel parcel = {.bytes = &n, .length = sizeof n};
    must(mp_queue_put(queue, &parcel, MP_FOREVER), "put");
  }
  must(mp_lock_acquire(lock, MP_FOREVER), "acquire");
  raise(SIGKILL);
}

int main(void) {
  mp_context *session;
  mp_queue *queue;
  mp_lock *lock;
  mp_process *process;
  must(mp_open(NULL, &session), "open");
  must(mp_queue_new(session, &(mp_queue_options){.max_items = 10}, &queue), "queue");
  must(mp_lock_new(session, &lock), "lock");
  must(mp_process_start(session, &(mp_process_options){.name = "child"}, &process), "start");
  if (process == NULL) child(queue, lock);

  for (int i = 0; i < 2; i++) {
    mp_letter letter;
    must(mp_queue_get(queue, mp_in(10), &letter), "get");
    printf("got %d\n", *(const int *)letter.parcel.bytes);
    mp_letter_free(session, &letter);
  }
  int code;
  must(mp_process_join(process, mp_in(10)), "join");
  must(mp_process_exit_code(process, &code), "exit code");
  printf("the child ended with %d\n", code);

  int r = mp_lock_acquire(lock, mp_in(1));
  if (r == MP_ABANDONED) printf("the lock is mine, its holder died\n");
  must(mp_lock_release(lock), "release");

  mp_process_close(process);
  mp_lock_close(lock);
  mp_queue_close(queue);
  mp_close(session);
  return r == MP_ABANDONED ? 0 : 1;
}
