/*
** What the files of the pool's binding share: the Pool and AsyncResult userdata.
**
** A Pool keeps its Lua values in tables, its user values, the pages of its book. A task in flight
** is named by its serial number there, with the AsyncResult that waits for it and, for a chunk of a
** map, the place of the chunk's first item. So a result that nobody has kept is collected all the
** same, and a pool that has tasks in flight lives as long as somebody has one of its results.
*/
#ifndef MP_BINDING_POOL_H
#define MP_BINDING_POOL_H

#include "../core/pool.h"
#include "binding.h"

enum pool_book {
  BOOK_TASKS = 1, /* serial number -> AsyncResult */
  BOOK_PLACES,    /* serial number -> index of the first item, for chunks after the first */
  BOOK_FUNCTIONS, /* function -> its record; weak keys */
  BOOK_PRESENT,   /* names of the globals that the workers have */
  BOOK_DUE,       /* results whose callbacks are due, numbered */
  BOOK_ERRORS,    /* what callbacks have raised */
  BOOK_RECORDS,   /* serial number -> its function's record, for streams' tasks that changed it */
  BOOK_PAGES = BOOK_RECORDS
};

struct pool {
  struct mp_lua_handle base;
  struct mp_supervisor supervisor;
  uint32_t creator;        /* tag of the participant that may use it */
  int32_t creator_pid;
  uint32_t workers;
  uint32_t tasks_per_worker; /* a worker ends after so many; 0: no limit */
  uint64_t memory_per_worker; /* a worker ends when it uses more bytes; 0: no limit */
  uint32_t open;           /* tasks in flight */
  uint64_t bytes;          /* of these tasks */
  uint32_t due, due_done;  /* callbacks: put in BOOK_DUE, and called */
  bool calling;            /* a callback is running */
  bool listening;          /* sleep and wait call what is due */
  bool executor;           /* a worker that dies breaks a process pool, in futures' words */
  bool started;
};

extern const struct mp_lua_type mp_lua_pool_type;

/* How a worker is to call the function. Part of what follows a task's values. */
enum task_form {
  FORM_CALL,  /* the values are its arguments */
  FORM_ITEMS, /* a list, called once with each */
  FORM_LISTS  /* a list of lists of arguments */
};

/* The last bytes of each task, behind what the codec wrote. */
struct task_trailer {
  uint32_t function, form;
};

/* How a failure travels: the bytes of an MP_ITEM_ERROR are {how, value, traceback}. */
enum failure_form {
  FAILED_TEXT,   /* raised a string */
  FAILED_OBJECT, /* raised this value */
  FAILED_UNSENT  /* raised a value that could not be sent; this is its text */
};

/* What waits for a task: the first word of the userdata in BOOK_TASKS. */
enum sink { SINK_RESULT, SINK_STREAM };

enum result_state { RESULT_OPEN, RESULT_DONE, RESULT_FAILED };

/* User values of an AsyncResult; of a stream too. */
enum result_value {
  RESULT_POOL = 1,
  RESULT_VALUE,    /* the value, the list of values, the error */
  RESULT_EXTRAS,   /* {callback =, error_callback =, progress =, tell =, error =, traceback =} */
  RESULT_FUNCTION, /* the function's record */
  RESULT_TASKS,    /* of a map: the numbers of its tasks */
  RESULT_VALUES = RESULT_TASKS
};

struct result {
  enum sink sink;
  enum result_state state;
  bool future;       /* is a Future */
  bool many;         /* of a map: its value is a list */
  bool called;       /* has callbacks */
  bool watched;      /* has a function that is told of each arrival */
  uint32_t tasks;    /* in flight */
  uint32_t chunk;    /* items in a task of a map */
  uint32_t values;   /* how many the call has returned */
  uint64_t count;    /* items of a map */
  uint64_t done;     /* those that have arrived */
  uint64_t failed;   /* index of the first item that has failed so far; 0: none */
  uint64_t id;       /* of the task, or the first one */
};

/* pool.c */

/* Is it open, and of this process's making? */
bool mp_lua_pool_is_ours(const struct pool *p);
/* The usable pool at that argument. Raises ProcessError in any process but its creator. */
struct pool *mp_lua_pool_check(lua_State *L, int arg);
/* Pushes one of the pool's tables. */
void mp_lua_pool_book(lua_State *L, int pool, enum pool_book page);

/* pool_function.c: the number of the function at index `function` in the pool, which was sent now
** if it is new or has changed. Pushes its record. */
uint32_t mp_lua_pool_function(lua_State *L, int pool, int function);
void mp_lua_pool_function_open(lua_State *L);
/* Pushes the name in the record at `record`. */
void mp_lua_pool_function_name(lua_State *L, int record);

/* pool_submit.c */

/* Raises TypeError unless the value at that index can be called. */
void mp_lua_pool_callable(lua_State *L, int index);
/* Raises ValueError unless the pool takes work. */
void mp_lua_pool_running(lua_State *L, const struct pool *p);
/* timeout and retries, at `index` and the next one. */
void mp_lua_pool_limits(lua_State *L, int index, struct mp_task_options *o);
/* Submits what was encoded, with its trailer, and ends it. */
void mp_lua_pool_submit(lua_State *L, struct pool *p, struct mp_lua_parcel *task,
                        const struct mp_task_options *o, uint64_t *id);
/* Items in a task: as asked for at `index`, or for `count` items by Python's rule. */
lua_Integer mp_lua_pool_chunk(lua_State *L, const struct pool *p, int index, lua_Integer count);
void mp_lua_pool_open_submit(lua_State *L);

/* pool_arrive.c */

/* Takes in a task that is over. */
void mp_lua_pool_arrive(lua_State *L, int pool, const struct mp_pool_result *task);
/* Takes in what is there, without waiting. No callback is called. */
void mp_lua_pool_drain(lua_State *L, int pool);
/* Everything in flight ends with an error of that kind; or with the reason why no worker is
** left. */
void mp_lua_pool_fail(lua_State *L, int pool, const char *kind, const char *text);
void mp_lua_pool_broke(lua_State *L, int pool);
/* Pushes why no worker is left, where it was no initializer. */
const char *mp_lua_pool_why_broken(lua_State *L, const struct pool *p);
/* Pushes the error of an initializer that always fails, and its traceback; false: there is none. */
bool mp_lua_pool_initializer_error(lua_State *L, const struct pool *p);

/* What arrived: the task, and the item at hand. */
struct arrival {
  struct mp_pool_result task;
  struct mp_item item;
  uint64_t index;   /* of the item in its map; 1 for a call */
  uint64_t first;   /* of its task's first item */
  bool single;      /* the item's bytes are one value, not a list of values */
  int pool, result; /* stack indices; below the result stands the page of tasks */
};
/* Pushes the item's value, true; or its error and traceback, false. For items of maps. */
bool mp_lua_pool_item(lua_State *L, struct arrival *a);

/* pool_stream.c */

/* Takes in the items of an arrival whose result is a stream. */
void mp_lua_stream_arrive(lua_State *L, struct mp_handle *pool, struct arrival *a);
/* A task of the stream is over. */
void mp_lua_stream_task_over(lua_State *L, int pool, int stream, lua_Integer serial);
/* The error is at that index: the stream at `stream` will get nothing more. */
void mp_lua_stream_fail(lua_State *L, int stream, int error);
void mp_lua_stream_open(lua_State *L);

/* pool_result.c */

extern const char mp_lua_result_type[], mp_lua_future_type[]; /* names of their metatables */
extern void *const mp_lua_result_mark; /* what stands at 1 in both: no other metatable has it */

/* Pushes a new result of the pool, or a Future; the record of its function is on top, and is
** taken. */
struct result *mp_lua_result_new(lua_State *L, int pool, bool future);
/* The AsyncResult or Future at that index, or NULL. */
struct result *mp_lua_result_test(lua_State *L, int index);
/* Waits for the result at argument 1. */
bool mp_lua_result_wait(lua_State *L, const struct result *r, mp_deadline until);
/* Pushes what the result at `result` has: its values, its list, its error. */
void mp_lua_result_push(lua_State *L, const struct result *r, int result);
/* Takes in what has arrived, if the result at argument 1 is open, but calls nothing. */
struct result *mp_lua_result_look(lua_State *L);
/* The pool has callbacks: sleep and wait are to call them too. */
void mp_lua_pool_listen(lua_State *L, int pool);
/* The submitted task belongs to the result or stream at `result`; its first item has that index. */
void mp_lua_result_expect(lua_State *L, int pool, int result, uint64_t id, lua_Integer place);
/* Nothing more will come for it. */
void mp_lua_result_over(lua_State *L, int pool, int result);
/* Its callback, or what is told of its progress, is to be called. */
void mp_lua_result_due(lua_State *L, int pool, int result);
/* Keeps the value on top, which is popped, under that key. */
void mp_lua_result_extra(lua_State *L, int result, const char *key);
/* Cancels its tasks, running or not. Is there one that was not over? */
bool mp_lua_result_cancel(lua_State *L, int pool, int result);
struct result *mp_lua_result_check(lua_State *L, int arg);
/* Waits until the result is there (NULL: until nothing is in flight), calling what is due. */
bool mp_lua_pool_wait(lua_State *L, int pool, const struct result *r, mp_deadline until);
/* Waits until one task more is over, and takes it in. False: the time is up. */
bool mp_lua_pool_step(lua_State *L, int pool, mp_deadline until);
/* Calls the callbacks that are due, unless one is running. */
void mp_lua_pool_call_back(lua_State *L, int pool);
/* Raises what a callback has raised, if one has. */
void mp_lua_pool_raise(lua_State *L, int pool);
void mp_lua_result_open(lua_State *L);

/* pool_worker.c: a worker's life. The stack: pool, enter, initializer, initargs. */
void mp_lua_pool_work(lua_State *L, uint32_t number) __attribute__((noreturn));

#endif
