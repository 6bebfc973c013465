#include "CDeflate.h"

#include <stdlib.h>
#include <zlib.h>

struct tern_zlib {
    z_stream z;
    int is_inflate;
    const uint8_t *dictionary;
    size_t dictionary_size;
};

static tern_zlib *make(const uint8_t *dictionary, size_t dictionary_size, int is_inflate) {
    tern_zlib *stream = calloc(1, sizeof *stream);
    if (stream == NULL) return NULL;
    stream->is_inflate = is_inflate;
    stream->dictionary = dictionary;
    stream->dictionary_size = dictionary_size;
    int status = is_inflate ? inflateInit(&stream->z) : deflateInit(&stream->z, Z_DEFAULT_COMPRESSION);
    if (status == Z_OK && !is_inflate) status = deflateSetDictionary(&stream->z, dictionary, (uInt)dictionary_size);
    if (status == Z_OK) return stream;
    tern_zlib_free(stream);
    return NULL;
}

tern_zlib *tern_deflate_new(const uint8_t *dictionary, size_t dictionary_size) { return make(dictionary, dictionary_size, 0); }

tern_zlib *tern_inflate_new(const uint8_t *dictionary, size_t dictionary_size) { return make(dictionary, dictionary_size, 1); }

static void set_buffers(tern_zlib *stream, const uint8_t *input, size_t input_size, uint8_t *output, size_t output_size) {
    stream->z.next_in = (Bytef *)input;
    stream->z.avail_in = (uInt)input_size;
    stream->z.next_out = output;
    stream->z.avail_out = (uInt)output_size;
}

long tern_deflate_block(tern_zlib *stream, const uint8_t *input, size_t input_size, uint8_t *output, size_t output_size) {
    set_buffers(stream, input, input_size, output, output_size);
    int status = deflate(&stream->z, Z_SYNC_FLUSH);
    if (status != Z_OK || stream->z.avail_in != 0 || stream->z.avail_out == 0) return -1;
    return (long)(output_size - stream->z.avail_out);
}

long tern_inflate_block(tern_zlib *stream, const uint8_t *input, size_t input_size, uint8_t *output, size_t output_size) {
    set_buffers(stream, input, input_size, output, output_size);
    while (stream->z.avail_in > 0) {
        int status = inflate(&stream->z, Z_SYNC_FLUSH);
        if (status == Z_NEED_DICT) status = inflateSetDictionary(&stream->z, stream->dictionary, (uInt)stream->dictionary_size);
        if (status == Z_STREAM_END && stream->z.avail_in == 0) break;
        if (status != Z_OK) return -1;
        if (stream->z.avail_out == 0) return -1;
    }
    return (long)(output_size - stream->z.avail_out);
}

void tern_zlib_free(tern_zlib *stream) {
    if (stream == NULL) return;
    if (stream->is_inflate) inflateEnd(&stream->z); else deflateEnd(&stream->z);
    free(stream);
}
