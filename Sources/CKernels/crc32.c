// CRC-32, polynomial 0x04C11DB7, bits reflected. Long inputs are folded with carry-less products
// (Gopal et al., "Fast CRC Computation for Generic Polynomials Using PCLMULQDQ Instruction", Intel,
// 2009): 128 bits of the message that stand D bits before others may be replaced by their first half
// times x^(D+32) plus their second half times x^(D-32), added to the others. What is left at the end,
// 16 bytes, goes through the tables like the bytes of a short input.
#include <pthread.h>
#include <string.h>

#include "include/checksum.h"
#include "include/cpu.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif
#if defined(__aarch64__)
#include <arm_neon.h>
#if defined(__linux__)
#include <asm/hwcap.h>
#include <sys/auxv.h>
#endif
#endif

enum { SLICES = 8 };

static uint32_t tables[SLICES][256];
static pthread_once_t tables_made = PTHREAD_ONCE_INIT;

static void make_tables(void) {
  for (uint32_t byte = 0; byte < 256; byte++) {
    uint32_t crc = byte;
    for (int bit = 0; bit < 8; bit++) crc = crc >> 1 ^ (crc & 1 ? 0xEDB88320u : 0);
    tables[0][byte] = crc;
  }
  for (int slice = 1; slice < SLICES; slice++) {
    for (int byte = 0; byte < 256; byte++) {
      uint32_t crc = tables[slice - 1][byte];
      tables[slice][byte] = crc >> 8 ^ tables[0][crc & 0xFF];
    }
  }
}

/// Eight bytes at a time: each has a table for its distance from the end.
static uint32_t crc_by_tables(uint32_t crc, const uint8_t *bytes, size_t count) {
  pthread_once(&tables_made, make_tables);
  for (; count >= SLICES; bytes += SLICES, count -= SLICES) {
    for (int i = 0; i < 4; i++) crc ^= (uint32_t)bytes[i] << 8 * i;
    crc = tables[7][crc & 0xFF] ^ tables[6][crc >> 8 & 0xFF] ^ tables[5][crc >> 16 & 0xFF]
          ^ tables[4][crc >> 24] ^ tables[3][bytes[4]] ^ tables[2][bytes[5]]
          ^ tables[1][bytes[6]] ^ tables[0][bytes[7]];
  }
  for (; count > 0; bytes++, count--) crc = crc >> 8 ^ tables[0][(crc ^ *bytes) & 0xFF];
  return crc;
}

// x^(D+32) and x^(D-32) modulo the polynomial, bits reflected, one bit up.
#define FOLD_128 0x1751997D0, 0x0CCAA009E
#define FOLD_256 0x0F1DA05AA, 0x15A546366
#define FOLD_384 0x03DB1ECDC, 0x174359406
#define FOLD_512 0x154442BD4, 0x1C6E41596
#define FOLD_2048 0x11542778A, 0x1322D1430

#if defined(__x86_64__)

#define PCLMUL __attribute__((target("pclmul,sse4.1")))

PCLMUL static inline __m128i fold(__m128i state, __m128i constants, __m128i next) {
  __m128i first = _mm_clmulepi64_si128(state, constants, 0x00);
  __m128i second = _mm_clmulepi64_si128(state, constants, 0x11);
  return _mm_xor_si128(_mm_xor_si128(first, second), next);
}

PCLMUL static inline __m128i load(const uint8_t *bytes, int i) {
  return _mm_loadu_si128((const __m128i *)bytes + i);
}

/// `count` is a multiple of 64, and not 0.
PCLMUL static uint32_t crc_by_products(uint32_t crc, const uint8_t *bytes, size_t count) {
  const uint64_t by_512[2] = {FOLD_512}, by_128[2] = {FOLD_128};
  __m128i constants = _mm_loadu_si128((const __m128i *)by_512);
  __m128i state[4];
  for (int i = 0; i < 4; i++) state[i] = load(bytes, i);
  state[0] = _mm_xor_si128(state[0], _mm_cvtsi32_si128((int)crc));
  for (size_t at = 64; at < count; at += 64) {
    for (int i = 0; i < 4; i++) state[i] = fold(state[i], constants, load(bytes + at, i));
  }
  constants = _mm_loadu_si128((const __m128i *)by_128);
  for (int i = 1; i < 4; i++) state[i] = fold(state[i - 1], constants, state[i]);
  uint8_t rest[16];
  _mm_storeu_si128((__m128i *)rest, state[3]);
  return crc_by_tables(0, rest, sizeof rest);
}

#define VPCLMUL __attribute__((target("avx512f,avx512vl,avx512dq,vpclmulqdq,pclmul")))

VPCLMUL static inline __m512i fold_wide(__m512i state, __m512i constants, __m512i next) {
  return _mm512_ternarylogic_epi64(_mm512_clmulepi64_epi128(state, constants, 0x00),
                                   _mm512_clmulepi64_epi128(state, constants, 0x11), next, 0x96);
}

VPCLMUL static inline __m512i load_wide(const uint8_t *bytes, int i) {
  return _mm512_loadu_si512((const __m512i *)bytes + i);
}

/// `count` is a multiple of 256, and not 0.
VPCLMUL static uint32_t crc_by_wide_products(uint32_t crc, const uint8_t *bytes, size_t count) {
  const uint64_t by_2048[8] = {FOLD_2048, FOLD_2048, FOLD_2048, FOLD_2048};
  const uint64_t by_512[8] = {FOLD_512, FOLD_512, FOLD_512, FOLD_512};
  const uint64_t onto_last[8] = {FOLD_384, FOLD_256, FOLD_128, 0, 0};
  __m512i constants = _mm512_loadu_si512(by_2048);
  __m512i state[4];
  for (int i = 0; i < 4; i++) state[i] = load_wide(bytes, i);
  state[0] = _mm512_xor_si512(state[0], _mm512_zextsi128_si512(_mm_cvtsi32_si128((int)crc)));
  for (size_t at = 256; at < count; at += 256) {
    for (int i = 0; i < 4; i++) {
      state[i] = fold_wide(state[i], constants, load_wide(bytes + at, i));
    }
  }
  constants = _mm512_loadu_si512(by_512);
  for (int i = 1; i < 4; i++) state[i] = fold_wide(state[i - 1], constants, state[i]);
  __m512i last = _mm512_maskz_mov_epi64(0xC0, state[3]);
  uint8_t quarters[64], rest[16];
  _mm512_storeu_si512(quarters, fold_wide(state[3], _mm512_loadu_si512(onto_last), last));
  for (int i = 0; i < 16; i++) {
    rest[i] = quarters[i] ^ quarters[16 + i] ^ quarters[32 + i] ^ quarters[48 + i];
  }
  return crc_by_tables(0, rest, sizeof rest);
}

static uint32_t crc_of_long(uint32_t crc, const uint8_t *bytes, size_t count, size_t *done) {
  if (ck_get_path() == CK_PATH_PORTABLE) return crc;
  if (ck_get_path() == CK_PATH_AVX512 && __builtin_cpu_supports("vpclmulqdq") && count >= 256) {
    *done = count / 256 * 256;
    crc = crc_by_wide_products(crc, bytes, *done);
  }
  if (__builtin_cpu_supports("pclmul") && count - *done >= 64) {
    size_t more = (count - *done) / 64 * 64;
    crc = crc_by_products(crc, bytes + *done, more);
    *done += more;
  }
  return crc;
}

#elif defined(__aarch64__)

#define PMULL __attribute__((target("aes")))

PMULL static inline uint64x2_t product(uint64_t a, uint64_t b) {
  return vreinterpretq_u64_p128(vmull_p64((poly64_t)a, (poly64_t)b));
}

PMULL static inline uint64x2_t fold(uint64x2_t state, const uint64_t by[2], uint64x2_t next) {
  uint64x2_t first = product(vgetq_lane_u64(state, 0), by[0]);
  uint64x2_t second = product(vgetq_lane_u64(state, 1), by[1]);
  return veorq_u64(veorq_u64(first, second), next);
}

PMULL static inline uint64x2_t load(const uint8_t *bytes, int i) {
  return vreinterpretq_u64_u8(vld1q_u8(bytes + 16 * i));
}

/// `count` is a multiple of 64, and not 0.
PMULL static uint32_t crc_by_products(uint32_t crc, const uint8_t *bytes, size_t count) {
  const uint64_t by_512[2] = {FOLD_512}, by_128[2] = {FOLD_128};
  uint64x2_t state[4];
  for (int i = 0; i < 4; i++) state[i] = load(bytes, i);
  state[0] = veorq_u64(state[0], vsetq_lane_u64(crc, vdupq_n_u64(0), 0));
  for (size_t at = 64; at < count; at += 64) {
    for (int i = 0; i < 4; i++) state[i] = fold(state[i], by_512, load(bytes + at, i));
  }
  for (int i = 1; i < 4; i++) state[i] = fold(state[i - 1], by_128, state[i]);
  uint8_t rest[16];
  vst1q_u8(rest, vreinterpretq_u8_u64(state[3]));
  return crc_by_tables(0, rest, sizeof rest);
}

static int has_pmull(void) {
#if defined(__linux__)
  return (getauxval(AT_HWCAP) & HWCAP_PMULL) != 0;
#else
  return 1;
#endif
}

static uint32_t crc_of_long(uint32_t crc, const uint8_t *bytes, size_t count, size_t *done) {
  if (ck_get_path() == CK_PATH_PORTABLE || !has_pmull() || count < 64) return crc;
  *done = count / 64 * 64;
  return crc_by_products(crc, bytes, *done);
}

#else

static uint32_t crc_of_long(uint32_t crc, const uint8_t *bytes, size_t count, size_t *done) {
  (void)bytes, (void)count, (void)done;
  return crc;
}

#endif

uint32_t ck_crc32(uint32_t crc, const void *bytes, size_t count) {
  size_t done = 0;
  crc = crc_of_long(~crc, bytes, count, &done);
  return ~crc_by_tables(crc, (const uint8_t *)bytes + done, count - done);
}
