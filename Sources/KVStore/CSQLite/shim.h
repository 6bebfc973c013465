// SQLite's C interface, with plain functions where the original is a macro or variadic and Swift cannot see it.
#ifndef TERN_CSQLITE_SHIM_H
#define TERN_CSQLITE_SHIM_H
#include <sqlite3.h>

// The bytes are copied.
static inline int tern_sqlite_bind_blob(sqlite3_stmt *statement, int position, const void *bytes, int length) {
    if (length == 0) return sqlite3_bind_zeroblob(statement, position, 0);
    return sqlite3_bind_blob(statement, position, bytes, length, SQLITE_TRANSIENT);
}

// Closing must not checkpoint: what is in the WAL stays there until the writer moves it.
static inline int tern_sqlite_no_checkpoint_on_close(sqlite3 *database) {
    return sqlite3_db_config(database, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, (int *)0);
}
#endif
