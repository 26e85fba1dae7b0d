/* A consistent copy of a SQLite file while others write it. Owns its connections for the time of a call; paths are
 * borrowed. */
#ifndef FERROD_STORE_DRIVER_SQLITE_BACKUP_H
#define FERROD_STORE_DRIVER_SQLITE_BACKUP_H

#include <stdbool.h>
#include <stdint.h>

#include "service/base/err.h"
#include "service/base/macros.h"

/* Copies one moment of `from` into the new file `to` (mode 0600), by SQLite's backup API over one snapshot, so that
 * writers do not make it begin anew. *ret_bytes: of the copy. On false no file is left. ERR_INVALID_REQUEST: there is a
 * file of that name, or it cannot be made; ERR_DATABASE_UNAVAILABLE: `from` cannot be read; ERR_STATEMENT_TIMEOUT.
 * Parks in a fiber, blocks on a plain thread. */
bool sqlite_backup(const char *from, const char *to, int64_t deadline_ns, int64_t *ret_bytes,
		   struct err *err) MUST_CHECK;

#endif
