// The schema table of all kinds, embedded as bytes. Its format: Sources/API/API/Schema/SchemaText.swift.
#pragma once
#include <stddef.h>

const unsigned char *_Nonnull tern_schema_bytes(void);
size_t tern_schema_length(void);
