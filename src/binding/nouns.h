/*
** The nouns: mp_lua_open_<noun> of each file adds its types and functions to the core table, which
** is on top of the stack. To add a noun is to add a line here. A type comes after the one that it
** is derived from. Whoever includes this again defines NOUN first.
*/
#include <lua.h>

#ifndef NOUN
#define NOUN(noun) void mp_lua_open_##noun(lua_State *L);
#endif

NOUN(host)
NOUN(interrupt)
NOUN(options)
NOUN(session)
NOUN(parcel)
NOUN(process)
NOUN(guard)
NOUN(lock)
NOUN(semaphore)
NOUN(event)
NOUN(condition)
NOUN(barrier)
NOUN(value)
NOUN(array)
NOUN(queue)
NOUN(connection)
NOUN(pool)
NOUN(wait)

#undef NOUN
