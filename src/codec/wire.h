/*
** The bytes of a message: MessagePack's leading bytes, our extension types, and how numbers are
** stored (big-endian, as MessagePack has it). docs/internals.md, "The wire", is the long form.
*/
#ifndef MP_CODEC_WIRE_H
#define MP_CODEC_WIRE_H

#include <stdint.h>
#include <string.h>

enum wire_byte {
  WIRE_FIXMAP = 0x80,
  WIRE_FIXARRAY = 0x90,
  WIRE_FIXSTR = 0xa0,
  WIRE_NIL = 0xc0,
  WIRE_FALSE = 0xc2,
  WIRE_TRUE = 0xc3,
  WIRE_BIN8 = 0xc4,
  WIRE_BIN16 = 0xc5,
  WIRE_BIN32 = 0xc6,
  WIRE_EXT8 = 0xc7,
  WIRE_EXT16 = 0xc8,
  WIRE_EXT32 = 0xc9,
  WIRE_FLOAT32 = 0xca,
  WIRE_FLOAT64 = 0xcb,
  WIRE_UINT8 = 0xcc,
  WIRE_UINT16 = 0xcd,
  WIRE_UINT32 = 0xce,
  WIRE_UINT64 = 0xcf,
  WIRE_INT8 = 0xd0,
  WIRE_INT16 = 0xd1,
  WIRE_INT32 = 0xd2,
  WIRE_INT64 = 0xd3,
  WIRE_FIXEXT1 = 0xd4,
  WIRE_FIXEXT4 = 0xd6,
  WIRE_FIXEXT16 = 0xd8,
  WIRE_STR8 = 0xd9,
  WIRE_STR16 = 0xda,
  WIRE_STR32 = 0xdb,
  WIRE_ARRAY16 = 0xdc,
  WIRE_ARRAY32 = 0xdd,
  WIRE_MAP16 = 0xde,
  WIRE_MAP32 = 0xdf,
  WIRE_NEGFIX = 0xe0
};

/* Extension types. Numbers are for ever; a new layout takes a new number. */
enum wire_ext {
  EXT_ENVELOPE = 1, /* u32 marks, body, [extras], marks x u32: only as a whole message */
  EXT_BACK = 2,     /* u32 offset of an object met before */
  EXT_NAME = 3,     /* str module, [str field]; or an empty str, str type, str method */
  EXT_FUNCTION = 4, /* bin dump, then for each upvalue: uint cell, value if the cell is new */
  EXT_INSTANCE = 5, /* class (str, or an EXT_NAME), map or array */
  EXT_PACKED = 6,   /* class, uint n, n values: what pack returned */
  EXT_FOREIGN = 7,  /* str metatable, uint n, n values */
  EXT_TICKET = 8,   /* 16 bytes */
  EXT_CLASS = 9     /* str class: the class itself */
};

/* ext32 header and the number of marks, in front of an envelope's body */
#define ENVELOPE_PREFIX 10u
/* A body's offsets and lengths are 32 bits wide; this leaves room for what surrounds it. */
#define WIRE_MAX_SIZE 0xfffff000u

static inline void store16(unsigned char *p, uint32_t v) {
  uint16_t b = __builtin_bswap16((uint16_t)v);
  memcpy(p, &b, sizeof b);
}

static inline void store32(unsigned char *p, uint32_t v) {
  v = __builtin_bswap32(v);
  memcpy(p, &v, sizeof v);
}

static inline void store64(unsigned char *p, uint64_t v) {
  v = __builtin_bswap64(v);
  memcpy(p, &v, sizeof v);
}

static inline uint32_t load16(const unsigned char *p) {
  uint16_t b;
  memcpy(&b, p, sizeof b);
  return __builtin_bswap16(b);
}

static inline uint32_t load32(const unsigned char *p) {
  uint32_t v;
  memcpy(&v, p, sizeof v);
  return __builtin_bswap32(v);
}

static inline uint64_t load64(const unsigned char *p) {
  uint64_t v;
  memcpy(&v, p, sizeof v);
  return __builtin_bswap64(v);
}

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "the swaps above are for little-endian machines"
#endif

#endif
