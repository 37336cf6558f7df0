/*
** Lua's values <-> the elements of an array, with errors that name what did not fit and where.
*/
#ifndef MP_NUMBER_H
#define MP_NUMBER_H

#include "binding.h"

/* What a number is for, as messages name it: "Array 'b', element 3". */
struct mp_lua_site {
  const char *what; /* "Value" */
  char code;
  lua_Integer element; /* from 1; 0: there is but one */
};

/* The type code at `arg`. Raises TypeError; ValueError when there is no such code. */
char mp_lua_code_check(lua_State *L, int arg);

/* The value at that index as an element. Raises TypeError, ValueError. */
mp_number mp_lua_number_check(lua_State *L, int index, const struct mp_lua_site *site);

/* Raises the ValueError for what the type cannot hold; the value is on top of the stack. */
int mp_lua_number_range(lua_State *L, const struct mp_lua_site *site);

void mp_lua_number_push(lua_State *L, char code, mp_number n);

/* Pushes a block with the elements as C has them, from a list, from an iterator function, or, for
** the codes c and u, from a string; gives how many they are. Raises TypeError, ValueError. */
const void *mp_lua_numbers_pack(lua_State *L, int index, const struct mp_lua_site *site,
                                size_t *count);

/* Pushes n packed elements as a list, or as a string for the codes c and u. */
void mp_lua_numbers_push(lua_State *L, char code, const void *elements, size_t n);

#endif
