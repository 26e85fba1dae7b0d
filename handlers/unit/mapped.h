/*
 * What requests have to do with the session's identity map: how their reads and writes are told to it. The rules are
 * those of store/session/identity_map.h; here are the models' keys and what a write of one model changes in others.
 * The map is owned by the session or its transaction.
 */
#ifndef FERROD_HANDLERS_MAPPED_H
#define FERROD_HANDLERS_MAPPED_H

#include "handlers/unit/context.h"
#include "store/query/query.h"

/* The identity map's key of a full row; in the arena. */
struct str record_key(struct arena *a, const struct model *m, const struct value *row);

/* ---- reads ---- */

/* The map for rows of m; NULL: they are not kept. A view's are not: what it shows may change with any table. */
struct imap *mapped_map(const struct context *c, const struct model *m);
/* A read of full rows of m begins: right before its statement is run. With `lock`, as with Cache-Control: no-cache, the
 * database's word counts. */
void mapped_begin(const struct context *c, const struct model *m, enum query_lock lock, struct imap_read *r);
/* What a full row that it has brought shows: the mapped values, in a, when the map has them, else the row. */
const struct value *mapped_row(struct imap_read *r, struct arena *a, const struct value *row);

/* The record as the map has it, or NULL: then it is to be read with mapped_load. map_key: its key there. */
const struct value *mapped_look(const struct context *c, const struct model *m, struct str map_key,
				struct imap_read *r);
/* Reads it in an open unit, after mapped_look or mapped_begin; *ret NULL: there is none. Parks. */
bool mapped_load(struct context *c, struct imap_read *r, const struct value *key, struct str map_key,
		 const struct value **ret, struct err *err) MUST_CHECK;
/* The word of Ferro-Identity for what was not a hit. */
const char *mapped_origin(const struct context *c);

/* ---- writes, in a unit of writes: each right before its statement is run ----
 * What is written into a view is written elsewhere: it counts as a write of any record of any model. */

/* One record is written whose key is known. */
void mapped_write(struct context *c, const struct model *m, struct str map_key);
/* Records are inserted that were not there. */
void mapped_insert(struct context *c, const struct model *m);
enum mapped_what {
	MAPPED_ROWS,    /* columns that nothing refers to */
	MAPPED_KEYS,    /* columns that foreign keys may refer to */
	MAPPED_DELETED, /* whole records */
};
/* Any records of m are written. Of MAPPED_KEYS and MAPPED_DELETED the database may change records of other models along
 * with them (CASCADE, SET NULL, however far): those count as written too. */
void mapped_write_all(struct context *c, const struct model *m, enum mapped_what what);
/* MAPPED_KEYS when the column belongs to the key of m or a foreign key refers to it, else MAPPED_ROWS. */
enum mapped_what mapped_column(const struct context *c, const struct model *m, const struct column *column);
/* The full row that a write has left; nothing for a model without key. */
void mapped_wrote(struct context *c, const struct model *m, const struct value *row);

/* A precondition failed: what this session has of the record is out of date. */
void mapped_outdated(struct context *c, const struct model *m, struct str map_key);

#endif
