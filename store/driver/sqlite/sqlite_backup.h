/* A consistent copy of a SQLite file while others write it. Owns its connections for the time of a call; paths are
 * borrowed. */
#ifndef FERROD_STORE_DRIVER_SQLITE_BACKUP_H
#define FERROD_STORE_DRIVER_SQLITE_BACKUP_H

#include <stdbool.h>
#include <stdint.h>

#include "service/base/err.h"
#include "service/base/macros.h"

struct driver_conn;

/* Copies one moment of `from` into the new file `to` (mode 0600), by SQLite's backup API over one snapshot, so that
 * writers do not make it begin anew. held: a connection to the file, kept open by the caller meanwhile, so that nothing
 * else is opened under its name while it is read: where `from` leads to another file, or does so before the end, there
 * is no copy; NULL: this process has none. *ret_bytes: of the copy. On false no file is left. ERR_INVALID_REQUEST:
 * there is a file of that name, or it cannot be made; ERR_DATABASE_UNAVAILABLE: `from` cannot be read, or was moved
 * away; ERR_STATEMENT_TIMEOUT. Parks in a fiber, blocks on a plain thread. */
bool sqlite_backup(const char *from, struct driver_conn *held, const char *to, int64_t deadline_ns, int64_t *ret_bytes,
		   struct err *err) MUST_CHECK;

#endif
