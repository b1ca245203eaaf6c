#ifndef CKERNELS_CHECKSUM_H
#define CKERNELS_CHECKSUM_H

#include <stddef.h>
#include <stdint.h>

/// zlib's crc32(): the CRC-32 of IEEE 802.3 of all bytes before, whose value is `crc`, and these. That of
/// no bytes is 0.
uint32_t ck_crc32(uint32_t crc, const void *bytes, size_t count);

#endif
