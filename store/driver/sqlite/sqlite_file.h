/*
 * The files on the disk that databases of this process have open, each found by device and inode. Those of several
 * named connections on one file share its writer's turn; and where another file has come to lie under the name, none
 * of the new one is opened until the last connection to the old one has emptied its write-ahead log, whose name both
 * would use. Owned by the process.
 */
#ifndef FERROD_STORE_DRIVER_SQLITE_FILE_H
#define FERROD_STORE_DRIVER_SQLITE_FILE_H

#include <sys/stat.h>

#include "store/driver/sqlite/sqlite_internal.h"

struct sqlite_file {
	dev_t dev;
	ino_t ino;
	char *path;  /* without links; owned */
	size_t refs; /* of databases and connections; this and what follows to `turn` under the lock of the files */
	size_t n_conns;
	int moved;       /* atomic: it does not lie under its path any more */
	sqlite3 *keeper; /* a connection that was closed after that: it will empty the log */
	bool has_wal;
	dev_t wal_dev; /* of its log, when the last connection was opened */
	ino_t wal_ino;
	struct turn turn;
	struct sqlite_locked locked;
	struct sqlite_file *next;
};

enum sqlite_file_fault {
	SQLITE_FILE_FINE,
	SQLITE_FILE_GONE,       /* it was there, and is not any more */
	SQLITE_FILE_IN_USE,     /* the one before it still is: try again soon */
	SQLITE_FILE_FOREIGN_LOG /* the log of the one before it could not be emptied */
};

/* Before c is opened: counts it in with the file under its database's path, if there is one. Blocks. */
enum sqlite_file_fault sqlite_file_enter(struct sqlite_conn *c);
/* After it was: false if the file was replaced meanwhile. Blocks. */
bool sqlite_file_opened(struct sqlite_conn *c);
/* When c is closed: closes c->h, or keeps it back for the log. */
void sqlite_file_leave(struct sqlite_conn *c);
/* Does something else, or nothing, lie under its path? Costs a stat. */
bool sqlite_file_moved(const struct sqlite_conn *c);
/* The same, as far as somebody has seen; costs nothing. */
bool sqlite_file_seen_moved(const struct sqlite_conn *c);
/* Empties the log of a file that nothing of ours uses at the moment, so that it does not keep its largest size. False:
 * somebody else does. Blocks. */
bool sqlite_file_tidy(struct sqlite_conn *c);
/* The db ends. */
void sqlite_file_forget(struct driver_db *db);

#endif
