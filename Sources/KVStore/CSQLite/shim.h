// SQLite's C interface, with plain functions where the original is a macro or variadic and Swift cannot see it.
#ifndef TERN_CSQLITE_SHIM_H
#define TERN_CSQLITE_SHIM_H
#include <sqlite3.h>
#include <sys/types.h>

// The bytes are copied.
static inline int tern_sqlite_bind_blob(sqlite3_stmt *statement, int position, const void *bytes, int length) {
    if (length == 0) return sqlite3_bind_zeroblob(statement, position, 0);
    return sqlite3_bind_blob(statement, position, bytes, length, SQLITE_TRANSIENT);
}

// Closing must not checkpoint: what is in the WAL stays there until the writer moves it.
static inline int tern_sqlite_no_checkpoint_on_close(sqlite3 *database) {
    return sqlite3_db_config(database, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, (int *)0);
}

// Linux, hidden without _GNU_SOURCE.
extern int sync_file_range(int descriptor, __off64_t offset, __off64_t count, unsigned int flags);

// Waits for what was sent on to the disk before, and sends on the rest of the file. Nothing is durable by that.
static inline int tern_file_send_on(int descriptor) {
    return sync_file_range(descriptor, 0, 0, 1 /* SYNC_FILE_RANGE_WAIT_BEFORE */ | 2 /* SYNC_FILE_RANGE_WRITE */);
}
#endif
