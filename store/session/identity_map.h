/*
 * The identity map of a session, which owns it: (model, primary key) -> the record as the session last saw it. One
 * session sees one version of a record until it refreshes, evicts or writes it, and never goes back: what the map
 * answers is never older than a write of the session that was acknowledged, and never what is not committed.
 */
#ifndef FERROD_STORE_SESSION_IDENTITY_MAP_H
#define FERROD_STORE_SESSION_IDENTITY_MAP_H

#include "service/base/arena.h"
#include "service/base/macros.h"
#include "store/schema/schema.h"
#include "store/value.h"

/*
 * A map that rows are put into whenever somebody has one cannot keep that promise: a read that was sent before a write
 * may arrive after it, and a write may be undone after it has been answered. So nobody puts rows. Callers say what they
 * do, and the map decides what becomes of the rows:
 *
 *   a read begins        imap_get (it missed), imap_read_begin: before its statement is sent
 *   its rows are here    imap_read_row, imap_read_none: what is to be shown, and whether it is kept
 *   a write begins       imap_over, imap_write_begin: before its statement is sent
 *   this is what it did  imap_write_row, imap_write_raw
 *   it ended so          imap_end: committed, rolled back, or nobody knows
 *
 * The rules, and why:
 *
 * 1. Whatever writes has a map of its own over the one below (imap_over): a unit of work over its transaction's or the
 *    session's, a savepoint over its transaction's, a transaction over the session's. What is not committed stays where
 *    only its own requests look. Commit moves it down by one map, everything else drops it; so a rollback needs to undo
 *    nothing.
 * 2. A read fills the map only if no write of this session to that model has begun, ended or evicted anything since the
 *    read began, and none is open. Then its row cannot be from before a write that the map knows to be over. Each map
 *    counts these events per model (a generation); a read remembers the sum of those it looks through and compares.
 *    Models share the counts of one slot now and then: that costs a row that is not kept, never a wrong one.
 * 3. Two writes of one record that are open together leave it out when they end: which one the database took last
 *    is not known here. So does a write while which the record was read from the database or evicted: what others
 *    have made of it since may have been answered already. Each open map has a set of the records it writes, 64
 *    bits by hash, and another of those it has met in others meanwhile. A row that is answered and not kept keeps
 *    reads that began before from filling the map, too.
 * 4. Who writes by query, or by a text nobody understands, takes whole models out instead of single records: every
 *    model when the text was the client's own.
 * 5. A map over another one may be `alone`: what lies below is not looked at, because its transaction has to have
 *    read a record itself before the database can protect it (snapshots; every transaction of SQLite). Below
 *    read_committed nothing is protected by having been read, and reads are answered as outside.
 * 6. A row that a transaction has only read goes out of its map when the session writes the record elsewhere; one that
 *    it has written stays: the database keeps others from it.
 * 7. A reader that asks for the database's word (no-cache, refresh, a lock) takes the record out of the maps below,
 *    too: the session must not fall back to what it had seen before.
 *
 * All maps of a session are bounded together, by entries and bytes, least recently used out first; what is written and
 * not committed is kept, or, where there is no room, everything counts as written. One short lock guards them, so that
 * requests of one session may run at once. NULL stands for no map wherever a map is taken: nothing is kept, every read
 * misses. Nothing here parks.
 */

struct imap;

struct imap_stats {
	bool enabled;
	size_t size, bytes; /* of the session's map and those over it */
	uint64_t hits, misses, evictions;
};

/* A session's map. enabled false: every call is a no-op or a miss. Allocates its table on first use. */
struct imap *imap_create(bool enabled, size_t max_entries, size_t max_bytes) MUST_CHECK;
/* NULL is fine. A session's map: no map is over it. One over another: if it has not ended, nobody knows how it did. */
void imap_destroy(struct imap *m);
bool imap_enabled(const struct imap *m);

/* ---- reads ---- */

enum imap_reading {
	IMAP_LOOK,   /* what is mapped is answered in place of the row read */
	IMAP_REFRESH /* the row read is answered, and what is mapped gives way */
};

/* A read under way; on the reader's stack. */
struct imap_read {
	struct imap *map; /* borrowed; NULL: none */
	const struct model *model;
	enum imap_reading how;
	bool fills;
	uint64_t seen;  /* generations when it began */
	uint64_t stamp; /* the map's when it began */
};

/* The record's values (model->n_columns, canonical, copied to the arena), or NULL: a miss, and *r is the read that has
 * to follow. Records packed under another schema serial of the model are not answered. Counts a hit or a miss. */
const struct value *imap_get(struct imap *m, struct arena *a, const struct model *model, struct str key,
			     struct imap_read *r);

/* A read of records of the model begins, whatever is mapped. */
void imap_read_begin(struct imap_read *r, struct imap *m, const struct model *model, enum imap_reading how);

/* A row that it has brought. Returns what is to be shown: the mapped values (in the arena) or `row`. */
const struct value *imap_read_row(struct imap_read *r, struct arena *a, struct str key, const struct value *row);
/* It has found no record of that key. */
void imap_read_none(struct imap_read *r, struct str key);

/* ---- writes ---- */

/* A map over m for what writes: imap_end, then imap_destroy, before m is destroyed. alone: what lies below is not
 * looked at. keeps_reads: rows that were only read go down when it is committed, if they might have been read there as
 * well. m NULL: NULL. */
struct imap *imap_over(struct imap *m, bool alone, bool keeps_reads) MUST_CHECK;

enum imap_what {
	IMAP_RECORD,    /* the record of the key; until imap_write_row tells it, its row is not known */
	IMAP_NEW,       /* a record that was not there before; nobody knows its key yet */
	IMAP_MODEL,     /* any record of the model */
	IMAP_EVERYTHING /* records of any model, if the statement writes at all: imap_write_raw tells */
};

/* A write begins. `over` is the writer's own map, as of imap_over. Key: of IMAP_RECORD. */
void imap_write_begin(struct imap *over, const struct model *model, enum imap_what what, struct str key);
/* The row that a write which has begun left. */
void imap_write_row(struct imap *over, const struct model *model, struct str key, const struct value *row);
/* A write of IMAP_EVERYTHING succeeded; only_read: it wrote nothing, says the database. */
void imap_write_raw(struct imap *over, bool only_read);

enum imap_end { IMAP_COMMITTED, IMAP_ROLLED_BACK, IMAP_UNKNOWN };

/* What was written in this map has ended so. It answers and keeps nothing from now on. IMAP_UNKNOWN: also what failed
 * after it was sent; its models are out. No-op when it has ended before. */
void imap_end(struct imap *over, enum imap_end how);

/* ---- the client's own will ---- */

/* Takes a record out of the session's map (m or what it lies over), and out of those over it unless they wrote it. */
void imap_evict(struct imap *m, struct str model_name, struct str key);
/* The same of all records. */
void imap_clear(struct imap *m);

/* Who asks from now on may see other rows, and has no right to those of before: nothing is left in a session's map or
 * in those of its transactions, which keep nothing any more. Nobody works in any of them. */
void imap_hide_all(struct imap *m);

/* Of a session's map. */
void imap_stats(struct imap *m, struct imap_stats *ret);
/* Hits, misses and evictions of every map since the process started. Any thread. */
void imap_totals(struct imap_stats *ret);

#endif
