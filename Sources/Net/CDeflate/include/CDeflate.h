// zlib streams for SPDY/3 header blocks: one deflater and one inflater per connection, both primed with the protocol's
// dictionary, each block ended by a sync flush. Nothing else of zlib is exposed.
#ifndef CDEFLATE_H
#define CDEFLATE_H

#include <stddef.h>
#include <stdint.h>

typedef struct tern_zlib tern_zlib;

// NULL when memory is short.
tern_zlib *tern_deflate_new(const uint8_t *dictionary, size_t dictionary_size);
tern_zlib *tern_inflate_new(const uint8_t *dictionary, size_t dictionary_size);

// Compresses all of `input` and sync-flushes. Returns the bytes written, or -1 when `output` is too small or zlib fails.
long tern_deflate_block(tern_zlib *stream, const uint8_t *input, size_t input_size, uint8_t *output, size_t output_size);

// Decompresses all of `input`. Returns the bytes written, or -1 for bad input or more than `output_size` bytes.
long tern_inflate_block(tern_zlib *stream, const uint8_t *input, size_t input_size, uint8_t *output, size_t output_size);

void tern_zlib_free(tern_zlib *stream);

#endif
