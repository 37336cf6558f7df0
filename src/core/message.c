/*
** Messages: filled in privately, counted ticket by ticket, published by what carries them.
**
** Lock: none of its own; each mention is a transaction under the registry's lock together with
** the message's `counted`. Invariant: the first `counted` tickets are counted by their objects.
** Death: a sender leaves the message in pending, a receiver in doomed, with `counted` telling how
** many mentions are to be taken back; the cleaner takes them back from the last one on.
*/
#include <errno.h>
#include <string.h>

#include "message.h"

static mp_ticket *message_tickets(struct mp_message *m) {
  return (mp_ticket *)(void *)(m + 1);
}

static struct mp_message *message_at(const struct mp_context *c, mp_ref ref) {
  return (struct mp_message *)mp_at(c, ref);
}

void mp_parcel_copy(void *to, const struct mp_parcel *p) {
  if (p->length != 0) memcpy(to, p->bytes, p->length);
  if (p->tail_length != 0) memcpy((unsigned char *)to + p->length, p->tail, p->tail_length);
}

int mp_message_reserve(struct mp_context *c, const struct mp_parcel *p, mp_ref *out) {
  mp_ref ref;
  size_t tickets = p->ticket_count * sizeof(mp_ticket);
  if (p->ticket_count > UINT32_MAX / sizeof(mp_ticket)) return -ENOMEM;
  uint64_t length = (uint64_t)p->length + p->tail_length;
  int r = mp_heap_reserve(c, sizeof(struct mp_message) + tickets + length, MP_BLOCK_PLAIN, &ref);
  if (r != 0) return r;
  struct mp_message *m = message_at(c, ref);
  w32_put(&m->bytes_low, (uint32_t)length);
  w32_put(&m->bytes_high, (uint32_t)(length >> 32));
  w32_put(&m->tickets, (uint32_t)p->ticket_count);
  w32_put(&m->counted, 0);
  if (tickets != 0) memcpy(message_tickets(m), p->tickets, tickets);
  mp_parcel_copy((unsigned char *)message_tickets(m) + tickets, p);
  w64_put(mp_heap_pending_entry(c, ref), ref | (uint64_t)MP_BLOCK_MESSAGE << 32);
  for (size_t i = 0; i < p->ticket_count && r == 0; i++)
    r = mp_object_mention(c, p->tickets[i], &m->counted);
  if (r != 0) {
    mp_message_unreserve(c, ref);
    return r;
  }
  *out = ref;
  return 0;
}

void mp_message_unreserve(struct mp_context *c, mp_ref message) {
  mp_message_release(c, mp_heap_pending_entry(c, message), message);
  mp_heap_unreserve(c, message);
  mp_object_reap(c);
}

struct mp_parcel mp_message_view(const struct mp_context *c, mp_ref message) {
  struct mp_message *m = message_at(c, message);
  uint32_t n = w32_get(&m->tickets);
  struct mp_parcel p = {0};
  p.tickets = message_tickets(m);
  p.ticket_count = n;
  p.bytes = p.tickets + n;
  p.length = (size_t)((uint64_t)w32_get(&m->bytes_high) << 32 | w32_get(&m->bytes_low));
  return p;
}

void mp_message_release(struct mp_context *c, mp_w64 *entry, mp_ref block) {
  struct mp_message *m = message_at(c, block);
  for (uint32_t n = w32_get(&m->counted); n > 0; n--)
    mp_object_forget(c, message_tickets(m)[n - 1], &m->counted);
  w64_put(entry, block | (uint64_t)MP_BLOCK_PLAIN << 32);
}
