/*
** Whether bytes are valid UTF-8, as MessagePack's str asks for: shortest forms, no surrogates,
** nothing above U+10FFFF. Most strings are ASCII, so eight bytes at a time are looked at first.
*/
#include <string.h>

#include "encode.h"

#define HIGH_BITS 0x8080808080808080u

/* The length of the ASCII run at the start, in whole words. */
static size_t ascii_words(const unsigned char *s, size_t n) {
  size_t i = 0;
  while (i + 8 <= n) {
    uint64_t w;
    memcpy(&w, s + i, sizeof w);
    if (w & HIGH_BITS) break;
    i += 8;
  }
  return i;
}

/* The length of the sequence that starts with the byte >= 0x80 at s, or 0. */
static size_t sequence_length(const unsigned char *s, size_t n) {
  unsigned c = s[0], second;
  size_t length = c >= 0xf0 ? 4 : c >= 0xe0 ? 3 : 2, i;
  if (c < 0xc2 || c > 0xf4 || length > n) return 0;
  second = s[1];
  if (c == 0xe0 && second < 0xa0) return 0;
  if (c == 0xed && second > 0x9f) return 0;
  if (c == 0xf0 && second < 0x90) return 0;
  if (c == 0xf4 && second > 0x8f) return 0;
  for (i = 1; i < length; i++)
    if ((s[i] & 0xc0) != 0x80) return 0;
  return length;
}

int mp_text_valid(const unsigned char *s, size_t n) {
  size_t i = ascii_words(s, n);
  while (i < n) {
    if (s[i] < 0x80) {
      i++;
    } else {
      size_t length = sequence_length(s + i, n - i);
      if (length == 0) return 0;
      i += length;
    }
    if (i + 8 <= n && s[i] < 0x80) i += ascii_words(s + i, n - i);
  }
  return 1;
}
