/* What the SQLite driver offers beside the vtable. Other files need no SQLite header for it. Owned by the process. */
#ifndef FERROD_STORE_DRIVER_DRIVER_SQLITE_H
#define FERROD_STORE_DRIVER_DRIVER_SQLITE_H

#include <stddef.h>
#include <stdint.h>

struct sqlite_options {
	double busy_timeout_s; /* how long to wait for the locks of others; 0: not at all */
	size_t cache_kib;      /* page cache of each connection; 0: SQLite's default */
	size_t value_bytes;    /* largest text, blob or row; 0: SQLite's default */
	int64_t heap_bytes;    /* all of SQLite's memory in this process; 0: unbounded */
	size_t match_terms;    /* of one full-text query; 0: unbounded */
	double unit_s;         /* a client's own statement that takes longer shares no transaction */
};

/* For connections opened from now on. Before the first open. */
void driver_sqlite_configure(const struct sqlite_options *o);

/* From now on a file is opened only if neither its name nor any directory on the way to it is a symbolic link
 * (ERR_FORBIDDEN). Before the first open. */
void driver_sqlite_refuse_links(void);

/* Counts the commits that changed any database through this process; a state read after the count was read is at least
 * that new. Any thread. */
uint64_t sqlite_write_epoch(void);

#endif
