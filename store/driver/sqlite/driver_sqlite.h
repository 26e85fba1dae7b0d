/* What the SQLite driver offers beside the vtable. Other files need no SQLite header for it. */
#ifndef FERROD_STORE_DRIVER_DRIVER_SQLITE_H
#define FERROD_STORE_DRIVER_DRIVER_SQLITE_H

#include <stddef.h>
#include <stdint.h>

/* For connections opened from now on: how long to wait for the locks of others (0: not at all), and each connection's
 * page cache in KiB (0: SQLite's default). Before the first open; any thread. */
void driver_sqlite_configure(double busy_timeout_s, size_t cache_kib);

/* From now on a file is opened only if neither its name nor any directory on the way to it is a symbolic link
 * (ERR_FORBIDDEN). Before the first open. */
void driver_sqlite_refuse_links(void);

/* Counts the commits that changed any database through this process; a state read after the count was read is at least
 * that new. Any thread. */
uint64_t sqlite_write_epoch(void);

#endif
