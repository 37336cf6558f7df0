/*
** Message: bytes that travel, and the shared objects that they mention.
**
** A block: this header, the tickets, the bytes. Each ticket that is counted keeps its object
** alive until the message is freed. Messages never change once they are published.
*/
#ifndef MP_MESSAGE_H
#define MP_MESSAGE_H

#include "object.h"

/* shared; fixed after publishing, except `counted` while the block is freed */
struct mp_message {
  mp_w32 bytes_low, bytes_high; /* length of the bytes */
  mp_w32 tickets;               /* how many follow the header */
  mp_w32 counted;               /* how many of them their objects count, the first ones */
};

/* Copies both parts of a parcel to `to`. */
void mp_parcel_copy(void *to, const struct mp_parcel *p);

/* Reserves a message and fills it in; it stands in pending as MP_BLOCK_MESSAGE. -ENOMEM;
** MP_FOREIGN when a ticket names no object of this session. */
MP_MUST_USE int mp_message_reserve(struct mp_context *c, const struct mp_parcel *p, mp_ref *out);

/* Gives back a reserved message that was not published. */
void mp_message_unreserve(struct mp_context *c, mp_ref message);

/* A view of a message (no tail) that the caller owns (doomed) or knows to be alive. */
struct mp_parcel mp_message_view(const struct mp_context *c, mp_ref message);

/* mp_releasers' entry for MP_BLOCK_MESSAGE: the objects are no longer mentioned. */
void mp_message_release(struct mp_context *c, mp_w64 *entry, mp_ref block);

#endif
