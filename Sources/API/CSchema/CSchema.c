#include "CSchema.h"

static const unsigned char schema[] = {
#embed "schema.tern"
};

const unsigned char *tern_schema_bytes(void) { return schema; }
size_t tern_schema_length(void) { return sizeof schema; }
