/*
** Letters: from bytes to values, and what becomes of a message that cannot be made one.
**
** Once taken, a message exists only here. It is decoded under lua_pcall; if memory is wanting, the
** userdata keeps it and the next get tries again. Any other failure is final: the message is freed
** and the error, if it is a SerializationError, has its bytes as message_bytes.
*/
#include "queue_letters.h"

#include <string.h>

static struct mp_context *context_of(const struct mp_lua_queue *q) {
  return q->base.state->context;
}

/* A copied letter's bytes stand in the copy. */
static void letter_copy(mp_letter *to, const mp_letter *from) {
  *to = *from;
  if (to->block == 0) to->parcel.bytes = to->small;
}

void mp_lua_letters_drop(struct mp_lua_queue *q) {
  for (; q->kept_count > 0; q->kept_count--) mp_letter_free(context_of(q), q->kept++);
}

/* ---- failures ---- */

/* Is the value on top of the stack an error of that kind? */
static bool is_error(lua_State *L, const char *kind) {
  if (!lua_istable(L, -1)) return false;
  lua_getfield(L, -1, "kind");
  bool is = lua_type(L, -1) == LUA_TSTRING && strcmp(lua_tostring(L, -1), kind) == 0;
  lua_pop(L, 1);
  return is;
}

/* The error on top of the stack gets the bytes, if it is a SerializationError. */
static void add_bytes(lua_State *L, const mp_letter *l) {
  if (!is_error(L, "SerializationError")) return;
  lua_pushlstring(L, (const char *)l->parcel.bytes, l->parcel.length);
  lua_setfield(L, -2, "message_bytes");
}

/* Raises what is on top of the stack. The first kept letter is the one that failed. */
static int fail(lua_State *L, struct mp_lua_queue *q, int status) {
  if (status != LUA_ERRMEM && !is_error(L, "MemoryError")) {
    add_bytes(L, q->kept); /* for want of memory here, it stays kept */
    q->kept_count--;
    mp_letter_free(context_of(q), q->kept++);
  }
  return lua_error(L);
}

/* ---- one ---- */

/* Pushes the value; raises whatever comes. */
static void letter_value(lua_State *L, const mp_letter *l) {
  const unsigned char *bytes = (const unsigned char *)l->parcel.bytes;
  size_t n = l->parcel.length;
  if (mp_codec_decode_number(L, bytes, n) || mp_codec_decode_text(L, bytes, n)) return;
  (void)mp_lua_decode(L, bytes, n, MP_CODEC_FULL);
}

static int letter_decode(lua_State *L) {
  letter_value(L, (const mp_letter *)lua_touserdata(L, 1));
  return 1;
}

static int letter_try(lua_State *L, mp_letter *l) {
  luaL_checkstack(L, 4, NULL);
  lua_pushcfunction(L, letter_decode);
  lua_pushlightuserdata(L, l);
  return lua_pcall(L, 1, 1, 0);
}

/* A letter taken while other Lua code had one fail: there is no room for both. */
static bool keep_single(struct mp_lua_queue *q, const mp_letter *l) {
  if (q->kept_count != 0) return false;
  letter_copy(&q->single, l);
  q->kept = &q->single;
  q->kept_count = 1;
  return true;
}

void mp_lua_letter_push_slow(lua_State *L, struct mp_lua_queue *q, mp_letter *l) {
  int status = letter_try(L, l);
  if (mp_unlikely(status != LUA_OK)) {
    if (q->base.handle != NULL && keep_single(q, l)) (void)fail(L, q, status);
    mp_letter_free(context_of(q), l);
    lua_error(L);
  }
  mp_letter_free(context_of(q), l);
}

/* Pushes the value of the first kept letter; or an error, and it stays kept. */
static int kept_try(lua_State *L, struct mp_lua_queue *q) {
  mp_letter l;
  letter_copy(&l, q->kept++);
  q->kept_count--;
  int status = letter_try(L, &l);
  if (status == LUA_OK) {
    mp_letter_free(context_of(q), &l);
  } else {
    letter_copy(--q->kept, &l); /* whatever took more of them meanwhile, this place is free */
    q->kept_count++;
  }
  return status;
}

int mp_lua_letters_again(lua_State *L, struct mp_lua_queue *q) {
  int status = kept_try(L, q);
  return status == LUA_OK ? 0 : fail(L, q, status);
}

/* ---- many ---- */

/* private; letters on their way into a table */
struct batch {
  struct mp_context *context;
  mp_letter *letter;
  size_t i, count;   /* of the letters */
  lua_Integer done;  /* values in the table */
};

/* Stack: the batch, the table. */
static int batch_decode(lua_State *L) {
  struct batch *b = (struct batch *)lua_touserdata(L, 1);
  for (; b->i < b->count; b->i++) {
    mp_letter *l = &b->letter[b->i];
    letter_value(L, l);
    lua_rawseti(L, 2, b->done + 1);
    b->done++;
    mp_letter_free(b->context, l);
  }
  return 0;
}

/* What is left of the batch, whose box is on top of the stack, is kept, if that is possible. */
static bool batch_keep(lua_State *L, struct mp_lua_queue *q, const struct batch *b) {
  if (q->kept_count != 0 || q->base.handle == NULL) {
    for (size_t i = b->i; i < b->count; i++) mp_letter_free(b->context, &b->letter[i]);
    return false;
  }
  lua_pushvalue(L, -1);
  lua_setiuservalue(L, 1, 1);
  q->kept = b->letter + b->i;
  q->kept_count = (uint32_t)(b->count - b->i);
  return true;
}

/* Decodes a batch into the table at 2; its box is on top of the stack. Raises if the first of all
** values cannot be decoded; false: stop here. */
static bool batch_append(lua_State *L, struct mp_lua_queue *q, struct batch *b) {
  luaL_checkstack(L, 6, NULL);
  lua_pushcfunction(L, batch_decode);
  lua_pushlightuserdata(L, b);
  lua_pushvalue(L, 2);
  int status = lua_pcall(L, 2, 0, 0);
  if (status == LUA_OK) return true;
  lua_insert(L, -2); /* the error, the box */
  bool kept = batch_keep(L, q, b);
  lua_pop(L, 1);
  if (b->done == 0) (void)(kept ? fail(L, q, status) : lua_error(L));
  lua_pop(L, 1);
  return false;
}

/* Those that are kept go first, up to one that fails. */
static lua_Integer append_kept(lua_State *L, struct mp_lua_queue *q, lua_Integer max) {
  lua_Integer done = 0;
  while (q->kept_count > 0 && done < max) {
    int status = kept_try(L, q);
    if (status != LUA_OK && done == 0) (void)fail(L, q, status);
    if (status != LUA_OK) {
      lua_pop(L, 1);
      break;
    }
    lua_rawseti(L, 2, ++done);
  }
  return done;
}

int mp_lua_letters_append(lua_State *L, struct mp_lua_queue *q, lua_Integer max,
                          mp_deadline until) {
  struct batch b = {.context = context_of(q)};
  b.done = append_kept(L, q, max);
  if (q->kept_count > 0) return 0; /* one of them failed */
  size_t room = max < 32 ? (size_t)max : 32;
  b.letter = (mp_letter *)lua_newuserdatauv(L, room * sizeof *b.letter, 0);
  while (b.done < max) {
    if (q->base.handle == NULL) mp_lua_raise(L, "ValueError", "the queue is closed");
    size_t n = (size_t)(max - b.done) < room ? (size_t)(max - b.done) : room;
    int r = mp_queue_get_many(q->base.handle, n, b.done == 0 ? until : MP_NOW, b.letter, &b.count);
    if (r == MP_INTERRUPTED && mp_lua_interrupt(L)) continue;
    if (r != 0) return b.done > 0 ? 0 : r;
    b.i = 0;
    if (!batch_append(L, q, &b)) return 0;
  }
  return 0;
}
