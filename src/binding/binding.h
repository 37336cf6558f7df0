/*
** The binding: one file a noun; check, call, push. This header is what all of them use.
**
** A Lua state takes part in the session as one participant (struct mp_context), opened at first
** use. A shared object is a full userdata that starts with struct mp_lua_handle; it is made
** closed, then opened, so that an error in between leaves nothing behind:
**
**   static const struct mp_lua_type event_type = {.name = "Event", .noun = "event",
**                                                 .kind = MP_KIND_EVENT};
**   static int event_new(lua_State *L) {
**     struct mp_context *c = mp_lua_context(L);
**     struct mp_lua_handle *u = mp_lua_handle_new(L, &event_type);
**     mp_lua_result(L, mp_event_new(c, &u->handle), "Event");
**     return 1;
**   }
**   static int event_wait(lua_State *L) {
**     struct mp_lua_handle *u = mp_lua_handle_check(L, 1, &event_type);
**     mp_deadline until = mp_lua_timeout(L, 2);
**     int r;
**     do r = mp_event_wait(u->state->context, u->handle, until);
**     while (r == MP_INTERRUPTED && mp_lua_interrupt(L));
**     ...
**   }
**   void mp_lua_open_event(lua_State *L) {   // the core table is on top; module.c calls this
**     mp_lua_type(L, &event_type, event_methods, event_metamethods);
**     mp_lua_functions(L, event_functions);
**   }
**
** Errors are raised with longjmp: never with an internal mutex held, never with anything owned
** that is not on the Lua stack.
*/
#ifndef MP_BINDING_H
#define MP_BINDING_H

#include <lauxlib.h>
#include <lua.h>

#include "../codec/codec.h"
#include "../core/context.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- the state ---- */

/* What the module keeps for one Lua state: a userdata in the registry. */
struct mp_lua_state {
  struct mp_context *context;   /* NULL before first use and after the end */
  lua_State *main;              /* the state's main thread, where signal handlers set hooks */
  lua_State *running;           /* who made the last checked call: who waits, if somebody waits */
  lua_Hook known_main, known_running; /* hooks that have been run and stayed: no news */
  volatile int pending;         /* a request to interrupt what waits; a handler may set it */
  bool ended;                   /* the state is being closed: no context any more */
  size_t largest;               /* userdata of all types */
  size_t memory;                /* limit for the session's memory, 0: the default */
  const char *home;             /* source prefix of our own Lua files, kept in a user value */
  size_t home_length;
};

struct mp_lua_state *mp_lua_state_of(lua_State *L);

/* This state's participant, opened at first use. Raises MemoryError, ProcessError. */
struct mp_context *mp_lua_context(lua_State *L);

/* Before the state's participant is closed: waits for its children, where the host asked for it. */
void mp_lua_process_end(struct mp_lua_state *s);

/* The table with what C offers to our Lua files; as `require "multiprocessing.core"`. */
int luaopen_multiprocessing_core(lua_State *L);

/* Adds functions to the table on top of the stack. */
void mp_lua_functions(lua_State *L, const luaL_Reg *functions);

/* Pushes what require(name) gives, wherever this library itself was found. */
void mp_lua_require(lua_State *L, const char *name);

/* ---- handles ---- */

struct mp_lua_handle;

/* A type of userdata. Static and constant: its address is its identity. */
struct mp_lua_type {
  const char *name;               /* "Queue", as in messages, tostring and core.methods */
  const char *noun;               /* "queue", as in "the queue is closed" */
  const struct mp_lua_type *base; /* whose methods it has and in whose place it is taken, or NULL */
  enum mp_object_kind kind;       /* of the objects behind it, or MP_KIND_NONE */
  size_t size;                    /* of the userdata, if the kind's own words follow the handle */
  int values;                     /* user values, if more than one; then it cannot be sent */
  /* Kinds that several types share: is this one's? Then a ticket arrives as the right type. */
  bool (*owns)(struct mp_context *c, struct mp_handle *h);
  /* Ends the kind's own words, before the handle is closed; must not raise. May be NULL. */
  void (*end)(struct mp_lua_handle *u);
  /* What stands behind the name in tostring, without the brackets: pushes a string. May be NULL. */
  void (*show)(lua_State *L, struct mp_lua_handle *u);
  /* Fills in the kind's own words when a handle arrives by ticket; must not raise. May be NULL. */
  void (*begin)(struct mp_lua_handle *u);
  /* If it may not travel: why, as "a Pool cannot be sent". */
  const char *stays;
};

/* The first words of each userdata. */
struct mp_lua_handle {
  uintptr_t seal;               /* own address ^ address of the type: nobody else's block has it */
  struct mp_handle *handle;     /* NULL: closed */
  struct mp_lua_state *state;
};

static inline uintptr_t mp_lua_seal(const struct mp_lua_handle *u, const struct mp_lua_type *type) {
  return (uintptr_t)u ^ (uintptr_t)type;
}

/* Makes the type's metatable and its table of methods, to be found again by core.methods(name).
** `methods` and `metamethods` may be NULL; the latter have the table of methods as their upvalue.
** __index, __newindex, __gc, __close, __eq, __tostring and __name are there by default; one among
** the metamethods takes the default's place. */
void mp_lua_type(lua_State *L, const struct mp_lua_type *type, const luaL_Reg *methods,
                 const luaL_Reg *metamethods);

/* The __newindex of what has no field to write to: raises TypeError. */
int mp_lua_no_field(lua_State *L);

/* Pushes a new, closed userdata of the type, zeroed behind the handle. */
struct mp_lua_handle *mp_lua_handle_new(lua_State *L, const struct mp_lua_type *type);

/* Addresses of live userdata of ours that were checked lately, by any state of the process; a hit
** spares asking Lua how large a block is before its seal is read. Collecting one takes it out. */
#define MP_LUA_KNOWN 64u
extern uintptr_t mp_lua_known[MP_LUA_KNOWN]; /* atomic, relaxed */
static inline uintptr_t *mp_lua_known_at(const void *u) {
  return &mp_lua_known[(uintptr_t)u / 32 % MP_LUA_KNOWN];
}

/* What mp_lua_handle_check does with anything but an open handle of exactly this type that was
** checked lately. */
struct mp_lua_handle *mp_lua_handle_check_slow(lua_State *L, int arg,
                                               const struct mp_lua_type *type, bool closed_too);

/* The open handle of that type, or of one derived from it, at argument `arg`. Raises TypeError;
** ValueError when it is closed; ProcessError in a process that is no participant. The block's seal
** says the type: no metatable is pushed, and nobody can put a wrong one under it. */
static inline struct mp_lua_handle *mp_lua_handle_check(lua_State *L, int arg,
                                                        const struct mp_lua_type *type) {
  struct mp_lua_handle *u = (struct mp_lua_handle *)lua_touserdata(L, arg);
  if (mp_likely(u != NULL &&
                __atomic_load_n(mp_lua_known_at(u), __ATOMIC_RELAXED) == (uintptr_t)u &&
                u->seal == mp_lua_seal(u, type) && u->handle != NULL &&
                mp_context_valid(u->state->context))) {
    u->state->running = L;
    return u;
  }
  return mp_lua_handle_check_slow(L, arg, type, false);
}

/* Pushes the state's table of types: the methods by name, the types by number. */
void mp_lua_types(lua_State *L);

/* The same, but a closed handle is taken too: for close and closed. */
static inline struct mp_lua_handle *mp_lua_handle_check_any(lua_State *L, int arg,
                                                            const struct mp_lua_type *type) {
  return mp_lua_handle_check_slow(L, arg, type, true);
}

/* The handle at that index if it is a userdata of ours, of whatever type, else NULL. */
struct mp_lua_handle *mp_lua_handle_test(lua_State *L, int index);
const struct mp_lua_type *mp_lua_handle_type(const struct mp_lua_handle *u);

/* Forgets all that is known; the end of a state. */
void mp_lua_handle_forget(void);

/* Closes it, if it is open; never raises. For a `close` method. */
void mp_lua_handle_close(lua_State *L, struct mp_lua_handle *u);

/* ---- errors ---- */

/* These do not return; they have a result so that a function may say `return mp_lua_raise(...)`. */
#define MP_RAISES __attribute__((noreturn))

/* Raises an error object of that kind ("ValueError") at the line of the caller: the innermost
** function in Lua that is not one of this module's own. fmt as lua_pushfstring. */
MP_RAISES int mp_lua_raise(lua_State *L, const char *kind, const char *fmt, ...);

/* The same, with the text on top of the stack. */
MP_RAISES int mp_lua_raise_text(lua_State *L, const char *kind);

/* OSError with errno = error, "what: the error's text (ENAME)". -ENOMEM: MemoryError. */
MP_RAISES int mp_lua_raise_errno(lua_State *L, int error, const char *what);

/* Raises TypeError "bad argument #1 to 'put' (<expected> expected, got nil)". */
MP_RAISES int mp_lua_raise_type(lua_State *L, int arg, const char *expected);
/* Raises an error of that kind "bad argument #1 to 'put' (<text>)". */
MP_RAISES int mp_lua_raise_argument(lua_State *L, int arg, const char *kind,
                                    const char *text);

/* What a kind of object says to a condition, where it is not the general text; ends with {0}. */
struct mp_lua_condition {
  int result; /* enum mp_outcome */
  const char *kind, *text;
};

/* 0: nothing. A negative errno: MemoryError or OSError. A condition: the error that `table` (NULL:
** none), else the general table, has for it. `what` names what was attempted ("Queue"). */
void mp_lua_result_slow(lua_State *L, int r, const char *what,
                        const struct mp_lua_condition *table);
static inline void mp_lua_result(lua_State *L, int r, const char *what) {
  if (mp_unlikely(r != 0)) mp_lua_result_slow(L, r, what, NULL);
}
static inline void mp_lua_result_as(lua_State *L, int r, const char *what,
                                    const struct mp_lua_condition *table) {
  if (mp_unlikely(r != 0)) mp_lua_result_slow(L, r, what, table);
}

/* ---- options ---- */

enum mp_lua_option_type {
  MP_LUA_ANY,
  MP_LUA_BOOLEAN,
  MP_LUA_INTEGER, /* or a float with an integral value */
  MP_LUA_NUMBER,
  MP_LUA_SECONDS, /* a number, not nan */
  MP_LUA_STRING,
  MP_LUA_TABLE,
  MP_LUA_FUNCTION /* or anything with __call */
};

struct mp_lua_option {
  const char *name;
  enum mp_lua_option_type type;
};

/* Arguments from `first` on, given one by one or as one table of options there: afterwards they are
** the stack's top at first, first + 1, ... in the order of `options` (ends with {NULL}), nil where
** not given, and of the right types. Raises TypeError for an unknown option, naming the nearest
** known one, and for a wrong type, with the value; ValueError for nan. */
void mp_lua_options(lua_State *L, int first, const struct mp_lua_option *options);

/* [timeout] or {timeout =} at `arg`, as a deadline. */
mp_deadline mp_lua_timeout_slow(lua_State *L, int arg);
static inline mp_deadline mp_lua_timeout(lua_State *L, int arg) {
  if (lua_isnoneornil(L, arg)) return MP_FOREVER;
  return mp_lua_timeout_slow(L, arg);
}

/* [block [, timeout]] or {block =, timeout =} from `arg` on, as a deadline: MP_NOW if block is
** false. */
mp_deadline mp_lua_block_timeout_slow(lua_State *L, int arg);
static inline mp_deadline mp_lua_block_timeout(lua_State *L, int arg) {
  if (lua_gettop(L) < arg) return MP_FOREVER;
  return mp_lua_block_timeout_slow(L, arg);
}

/* Seconds (nil: for ever) at that index, as a deadline; `name` is what messages call them. */
mp_deadline mp_lua_seconds(lua_State *L, int index, const char *name);

/* The integer at `arg`, or `otherwise` where none is given. Raises TypeError for another type. */
lua_Integer mp_lua_position(lua_State *L, int arg, lua_Integer otherwise);

/* The elements that [i [, j]] at `arg` and arg + 1 name in a sequence of `length`, by the rules of
** string.sub. An empty span begins at 0. */
struct mp_lua_span {
  size_t first, count; /* first counts from 0 */
};
struct mp_lua_span mp_lua_span(lua_State *L, int arg, size_t length);

/* A table, or a userdata that has a length. */
bool mp_lua_is_list(lua_State *L, int index);

/* Pushes the value as messages show it: "x" in quotes, numbers, nil, true; else its type. */
const char *mp_lua_show(lua_State *L, int index);

/* Is it a function, or something that is called like one? */
bool mp_lua_is_callable(lua_State *L, int index);

/* ---- sending ---- */

/* Values made ready to be sent; lives on the C stack of whoever sends. */
struct mp_lua_parcel {
  struct mp_parcel parcel; /* for the core */
  struct mp_codec_view view;
  mp_ticket few[6]; /* room for tickets; where there are more, in a userdata */
};

/* Encodes what the request names. Leaves values on the stack that must stay there until the parcel
** is sent. Raises SerializationError. */
void mp_lua_encode(lua_State *L, const struct mp_codec_request *what, struct mp_lua_parcel *out);

/* The same, with the globals that are not in the table at `present` (mp_codec_encode_carry); and
** the elements range[0] to range[1] of a list, as one list (mp_codec_encode_slice). */
void mp_lua_encode_carry(lua_State *L, const struct mp_codec_request *what, int present,
                         struct mp_lua_parcel *out);
void mp_lua_encode_slice(lua_State *L, const struct mp_codec_request *what,
                         const lua_Integer range[2], int present, struct mp_lua_parcel *out);

/* The value at stack index `index` alone, with all that may travel within the session; error
** messages call it `root`. */
static inline void mp_lua_encode_value(lua_State *L, int index, const char *root,
                                       struct mp_lua_parcel *out) {
  struct mp_codec_request what = {index, 1, MP_CODEC_FULL | MP_CODEC_TAIL, root};
  mp_lua_encode(L, &what, out);
}

/* The parcel was sent, or not: its buffer may be used again. Not needed after an error. */
static inline void mp_lua_encode_done(struct mp_lua_parcel *p) {
  mp_codec_release(&p->view);
}

/* Pushes the value (with MP_CODEC_VALUES: the values) of bytes that stay where they are, and
** returns their number. Raises SerializationError and whatever an unpack function raises. */
int mp_lua_decode(lua_State *L, const void *bytes, size_t size, unsigned mode);

/* Decodes a message that was taken, and frees it, also when that raises: then the message is lost.
** Pushes and returns as mp_lua_decode. Nothing that raises may stand between taking the letter and
** this. */
int mp_lua_receive(lua_State *L, mp_letter *letter, unsigned mode);

/* Pushes the userdata of the object that a ticket names, which must be alive. */
void mp_lua_redeem(lua_State *L, const uint64_t ticket[2]);

/* ---- interruption ---- */

/* After MP_INTERRUPTED: runs the hooks that ask for attention. Returns true, or raises what they
** raise: "interrupted!" after Ctrl-C. */
bool mp_lua_interrupt(lua_State *L);

/* Is the error at that index Ctrl-C? In a scope's end it may have the interpreter's traceback. */
bool mp_lua_is_interruption(lua_State *L, int index);

/* Pushes a Lua function that does nothing. */
void mp_lua_trampoline(lua_State *L);

/* Sleeps until the deadline, open to interruption; needs no context. */
void mp_lua_sleep(lua_State *L, mp_deadline until);

/* mp_context.interrupted: has a hook come, or a request? */
int mp_lua_interrupted(void *state);

#ifdef __cplusplus
}
#endif

#endif
