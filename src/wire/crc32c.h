/*
 * crc32c.h - CRC-32C (Castagnoli), the checksum of record batches and snapshot files.
 *
 * The CPU's own instruction (SSE4.2, ARMv8) is used where it is found at run time, three streams
 * side by side; elsewhere a table-driven loop, eight bytes at a time.
 *
 * Threads  any.
 * Source   storage-format, section 2; RFC 3720, appendix B.4.
 */
#ifndef KLAMM_WIRE_CRC32C_H
#define KLAMM_WIRE_CRC32C_H

#include <stddef.h>
#include <stdint.h>

/* seed: 0, or the CRC of the bytes before these. "123456789" gives 0xe3069283. */
uint32_t crc32c(uint32_t seed, const void *data, size_t len);
/* The same without the CPU's instruction: what the tests compare with. */
uint32_t crc32c_portable(uint32_t seed, const void *data, size_t len);
/* "sse4.2", "armv8" or "portable". */
const char *crc32c_implementation(void);

#endif
