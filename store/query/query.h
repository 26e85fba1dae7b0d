/*
 * QueryIR as an AST, resolved against a model snapshot: every column and relation is checked, every value is bound
 * (typed) by the codec for the dialect it will run on. Lives in the request's arena; borrows the schema snapshot.
 * Values are bound in store/codec/codec.h.
 */
#ifndef FERROD_STORE_QUERY_QUERY_H
#define FERROD_STORE_QUERY_QUERY_H

#include "service/base/arena.h"
#include "store/codec/codec.h"
#include "store/query/query_ast.h"
#include "store/stmt.h"

/* ---- query_json.c, query_where.c, query_set.c ---- */

/* QueryIR envelope or bare payload; `pointer` is where doc stands in the request ("" or "/query"). Typed value nodes
 * {"kind","value"} or plain JSON values. False: ERR_INVALID_QUERY, ERR_MODEL_NOT_FOUND, ERR_UNKNOWN_COLUMN,
 * ERR_INVALID_VALUE, all with pointers. */
bool query_from_json(struct arena *a, const struct schema *s, const struct dialect *d, const json_t *doc,
		     const char *pointer, struct query **ret, struct err *err) MUST_CHECK;

/* The operator's word ("==", "NOT LIKE", ...); false: there is none of that name. */
bool query_op_from_word(struct str word, enum query_op *ret) MUST_CHECK;

/*
 * One condition on a column (query_ref_from_text) whose operands came as text (URL filters): n_texts is 1 for
 * comparisons and LIKE, any number for IN, 2 for BETWEEN, 0 for IS NULL. `pointer`: where the condition stands.
 * ERR_INVALID_QUERY when the operator does not go with the column or the number of operands, ERR_INVALID_VALUE.
 */
bool query_leaf_from_text(struct arena *a, const struct dialect *d, const struct query_expr *subject, enum query_op op,
			  const struct str *texts, size_t n_texts, const char *pointer, const struct query_node **ret,
			  struct err *err) MUST_CHECK;

/* How many columns of the statement's rows are the answer's; the rest are read for other reasons. */
size_t query_n_visible(const struct query *q);

/* How well the query's match does, as an expression. ERR_INVALID_QUERY when nothing is matched. */
bool query_rank(struct arena *a, const struct query *q, const char *pointer, const struct query_expr **ret,
		struct err *err) MUST_CHECK;

/* The column that a URL names, in the arena: "name", ".name" (whatever it looks like), "author.name" (relations that
 * lead to one record), "data->a->0->>b" (into a document). ERR_INVALID_QUERY, ERR_UNKNOWN_COLUMN. */
bool query_ref_from_text(struct arena *a, const struct query *q, const struct model *m, struct str text,
			 const char *pointer, const struct query_expr **ret, struct err *err) MUST_CHECK;

/* A value for what an expression's type says (codec_bind, and what paths lead to). ERR_INVALID_VALUE. */
bool query_bind_value(struct arena *a, const struct dialect *d, const struct column *type, const json_t *v,
		      struct value *ret, struct err *err) MUST_CHECK;

/* column = value, or IS NULL; checks nothing. */
const struct query_node *query_leaf_equal(struct arena *a, const struct dialect *d, const struct column *c,
					  struct value v);

/* e op *v (or no value: NULL, which is borrowed), a place in an order: *v is as e gives it; checks nothing. */
const struct query_node *query_leaf_place(struct arena *a, const struct query_expr *e, enum query_op op,
					  const struct value *v);
/* What of the related records holds; borrows `where`. */
const struct query_node *query_relation_node(struct arena *a, const struct relation *r, enum quantifier q,
					     const struct query_node *const *where, size_t n);

/* How many related records there are, as an expression. */
const struct query_expr *query_count_of(struct arena *a, const struct relation *r);

/* What a query made by hand must hold to be lowered (query_from_json has checked it): combinations that no database can
 * run, or that mean nothing. `pointer`: of the query. ERR_INVALID_QUERY. */
bool query_check(const struct query *q, const char *pointer, struct err *err) MUST_CHECK;

/* An empty query over the model: every row. */
struct query *query_new(struct arena *a, const struct schema *s, const struct dialect *d, const struct model *m);

/* Just the model's name of a QueryIR document (routing and scopes before the rest is parsed). */
bool query_json_model(const json_t *doc, struct str *ret) MUST_CHECK;

/* Members of an update's `set`, in the document's order, and what ferrod fills by itself at a change. Empty:
 * ERR_INVALID_QUERY. null for a NOT NULL column: ERR_NOT_NULL_VIOLATION. */
bool query_set_from_json(struct arena *a, const struct model *m, const struct dialect *d, const json_t *set,
			 const char *pointer, struct query_set **ret, size_t *ret_n, struct err *err) MUST_CHECK;

/* The same of an upsert, where {"$given": column} is the row's own. */
bool query_set_given(struct arena *a, const struct model *m, const struct dialect *d, const json_t *set,
		     const char *pointer, struct query_set **ret, size_t *ret_n, struct err *err) MUST_CHECK;

/* query_keyset.c: turns q->keys into a condition, with the order turned round for what stands before them: the nearest
 * rows come first. */
void query_keyset(struct arena *a, struct query *q);
/* The column as it is stored, which is not decoded: what a page's edge has of times. In the arena. */
const struct query_expr *query_stored(struct arena *a, const struct column *c);

/* ---- query_lower.c: AST -> SQL. Results live as long as the arena; what was lowered before is not written anew, see
 * query_plan.h. ---- */

/* What the rows of a lowered statement hold, column by column. */
struct result_shape {
	size_t n;
	const struct column **columns; /* NULL entry: an aggregate, see `decode` */
	struct str *names;
	const struct column *decode; /* n codec columns (copies) to decode with */
	bool full;                   /* every column of the model in its order: rows may enter the identity map */
};

struct query_plan_stats {
	uint64_t hits, misses;
};
/* Of all threads since the start. */
void query_plan_stats(struct query_plan_stats *ret);

bool query_lower_select(struct arena *a, const struct query *q, struct stmt *ret, struct result_shape *ret_shape,
			struct err *err) MUST_CHECK;
/* query_each.c: the rows of q for each of the link values: where, order, limit and offset hold per value. The shape's
 * last column is the link's, after those that q selects (`full`: without it). */
bool query_lower_each(struct arena *a, const struct query *q, const struct query_each *e, struct stmt *ret,
		      struct result_shape *ret_shape, struct err *err) MUST_CHECK;
bool query_lower_count(struct arena *a, const struct query *q, struct stmt *ret, struct err *err) MUST_CHECK;
bool query_lower_exists(struct arena *a, const struct query *q, struct stmt *ret, struct err *err) MUST_CHECK;
/* returning: RETURNING every column (shape filled). Honours limit, offset, order and m2m by a primary-key subquery. */
bool query_lower_update(struct arena *a, const struct query *q, const struct query_set *set, size_t n_set,
			bool returning, struct stmt *ret, struct result_shape *ret_shape, struct err *err) MUST_CHECK;
bool query_lower_delete(struct arena *a, const struct query *q, bool returning, struct stmt *ret,
			struct result_shape *ret_shape, struct err *err) MUST_CHECK;

/* What an aggregate is of; NULL: count(*). */
const struct column *query_aggregate_argument(const struct query_aggregate *g);
/* An expression as a column of an answer; name STR_NONE: a plain column's, or that of the reference ("author.name").
 * false: what is computed has no name of its own. */
bool query_item_of(struct arena *a, const struct query_expr *e, struct str name, struct query_item *ret) MUST_CHECK;
/* Has every column of an answer a name of its own? *ret_at: the first that has not. */
bool query_items_distinct(const struct query_item *items, size_t n, size_t *ret_at) MUST_CHECK;
/* The codec column of an aggregate's results (its name is the alias). */
struct column query_aggregate_column(const struct query_aggregate *g);

/* ---- query_key.c ---- */

/* A query for one record by its key values (model->n_pk of them, canonical order). */
struct query *query_by_pk(struct arena *a, const struct schema *s, const struct dialect *d, const struct model *m,
			  const struct value *key);

/* The wire's key text, percent-decoded: the pk columns' values joined by ',' -> values. Of a composite key one text
 * column may hold commas itself. A model without primary key: ERR_INVALID_QUERY; wrong number of parts or a value that
 * cannot be: ERR_RECORD_NOT_FOUND is the caller's choice, here ERR_INVALID_VALUE. */
bool query_key_from_text(struct arena *a, const struct dialect *d, const struct model *m, struct str text,
			 struct value **ret, struct err *err) MUST_CHECK;
/* The same of the parts, m->n_pk of them. */
bool query_key_from_parts(struct arena *a, const struct dialect *d, const struct model *m, const struct str *parts,
			  struct value **ret, struct err *err) MUST_CHECK;

/* The identity map's key text of a decoded row (full shape): unambiguous for every pk type. In the arena. */
struct str query_identity_key(struct arena *a, const struct model *m, const struct value *key);

/* ---- record_json.c, record_lower.c ---- */

enum record_conflict {
	RECORD_INSERT,     /* plain */
	RECORD_IGNORE,     /* ON CONFLICT (cols) DO NOTHING */
	RECORD_IGNORE_ANY, /* ON CONFLICT DO NOTHING, whatever the key that conflicts */
	RECORD_UPDATE      /* ON CONFLICT (cols) DO UPDATE SET every column that was sent */
};

/* One row: values[i] belongs to columns[i]; `given[i]` false: the column is left to the database. */
struct record_row {
	const struct value *values; /* model->n_columns, as all of them */
	bool *given;                /* has a value: the client's, or one that ferrod fills in */
	const bool *sent;           /* the client's own; of a column that is only read: `values` has it, `given` not */
};

/* How a JSON object is read as a record; bits. */
enum record_reading {
	RECORD_CREATE = 0,
	RECORD_PARTIAL = 1,  /* PATCH: what is absent stays as it is */
	RECORD_REPLACE = 2,  /* PUT: members that are only read may be there */
	RECORD_OVERRIDE = 4, /* identities that are always generated take a value */
	RECORD_STATED = 8,   /* PATCH of one record: values that only its own row can hold may be there, sent and not
				given, for the caller to compare; RECORD_REPLACE says it, too */
};

/* JSON object -> row. Unknown member: ERR_UNKNOWN_COLUMN; null for a required column: ERR_NOT_NULL_VIOLATION (null for
 * a key that the database gives means absent). What is absent is left to the database where it has something for it;
 * else a literal default in the schema is taken, so that both databases agree ("now()" and its kin on a temporal
 * column: the time now; a default that the column cannot hold is left to the database); else, in a NOT NULL column,
 * ERR_NOT_NULL_VIOLATION. A new record's member that is only read, or an identity that is always generated without
 * RECORD_OVERRIDE: ERR_INVALID_VALUE. `how`: bits of enum record_reading. */
bool record_from_json(struct arena *a, const struct dialect *d, const struct model *m, const json_t *obj,
		      const char *pointer, unsigned how, struct record_row *ret, struct err *err) MUST_CHECK;

/* The quick way to the same row for a new record whose values are all of the usual kinds; `text` is copied to `a`.
 * false, without an error: parse it, and take record_from_json. */
bool record_from_text(struct arena *a, const struct dialect *d, const struct model *m, struct str text,
		      struct record_row *ret) MUST_CHECK;

/* Identities that are always generated have a value: which nobody may give without saying so. ERR_INVALID_VALUE with
 * the member's pointer below `pointer`. */
bool record_no_identity(struct arena *a, const struct model *m, const struct record_row *row, const char *pointer,
			struct err *err) MUST_CHECK;

/* What an update sets. PATCH (RECORD_PARTIAL): the columns that were sent. PUT (RECORD_REPLACE): all others, too, but
 * for keys, identities and what is only read: to the database's default, to the schema's, to null. Both: what ferrod
 * fills by itself at a change. Nothing for a PATCH of nothing. In the arena. (record_fill.c) */
/* defaults: of the database's columns, by the model's (STR_NONE: none); NULL: not asked for. */
void record_update_set(struct arena *a, const struct dialect *d, const struct model *m, const struct record_row *row,
		       unsigned how, const struct str *defaults, struct query_set **ret, size_t *ret_n);
/* Does a PUT have to ask the database for its defaults? SQLite, where the model does not say them. */
bool record_asks_defaults(const struct dialect *d, const struct model *m, const struct record_row *row);
/* Rows of name and default (perhaps null) of SQLite's columns. */
bool record_lower_defaults(struct arena *a, const struct model *m, struct stmt *ret, struct err *err) MUST_CHECK;
/* Adds to the set of an update what ferrod fills by itself at a change. */
void query_set_fill(struct arena *a, const struct dialect *d, const struct model *m, struct query_set **set, size_t *n);
/* A label that the model says is retired is written no more: ERR_INVALID_VALUE. */
bool record_may_write_label(const struct column *c, const json_t *v, const char *pointer, struct err *err) MUST_CHECK;
/* The time now as a value of the column, which is one of time. */
bool record_now(struct arena *a, const struct dialect *d, const struct column *c, struct value *ret,
		struct err *err) MUST_CHECK;
/* A column that is never set by hand: computed, read only, or an identity that is always generated. */
bool column_only_read(const struct column *c);

/* What rows that exist may be in the way by. */
struct record_target {
	const struct column *const *columns; /* NULL, 0: the primary key, unless `sql` says it */
	size_t n_columns;
	struct str sql;       /* the entries of an index, as its database spells them; STR_NONE: the columns */
	struct str predicate; /* of a partial index, in SQL; STR_NONE: none */
	bool known;           /* the database says that they are unique, whatever the model knows */
};

struct record_insert_how {
	enum record_conflict conflict;
	struct record_target target;
	const struct query_set *set; /* RECORD_UPDATE: what is changed, in place of what was sent; n_set 0: that */
	size_t n_set;
	bool override_identity; /* PostgreSQL: OVERRIDING SYSTEM VALUE */
	bool returning;         /* every column (shape full) */
	bool tells;             /* PostgreSQL: one column more, or alone: true for a row that was not there */
};

/* INSERT of n rows with the same `given` (and, RECORD_UPDATE, `sent`) set; DEFAULT VALUES when nothing is given.
 * RECORD_UPDATE writes what was sent over a row that is there, and what ferrod fills at a change. */
bool record_lower_insert(struct arena *a, const struct dialect *d, const struct model *m, const struct record_row *rows,
			 size_t n_rows, const struct record_insert_how *how, struct stmt *ret,
			 struct result_shape *ret_shape, struct err *err) MUST_CHECK;

/* How many rows are in the way of these, which have different keys; PostgreSQL: none by a target that is no list of
 * columns. */
bool record_lower_count(struct arena *a, const struct dialect *d, const struct model *m, const struct record_row *rows,
			size_t n_rows, const struct record_target *target, struct stmt *ret,
			struct err *err) MUST_CHECK;
/* One integer about the table: 1 for triggers or rules, 2 more when it is one by itself (no view, no partitions),
 * 4 more for each unique index and exclusion constraint but for its primary key. */
bool record_lower_triggers(struct arena *a, const struct dialect *d, const struct model *m, struct stmt *ret,
			   struct err *err) MUST_CHECK;
/* The entries of the table's unique index of that name, in order: for each its column (null: an expression), its text
 * and (PostgreSQL) the index's predicate, or (SQLite) null and the index's own statement. No row: there is none. */
bool record_lower_index(struct arena *a, const struct dialect *d, const struct model *m, struct str name,
			struct stmt *ret, struct err *err) MUST_CHECK;
/* The target that such rows describe. ERR_INVALID_QUERY for one that cannot be read. */
bool record_target_index(struct arena *a, const struct dialect *d, const struct model *m,
			 const struct value *const *rows, size_t n_rows, struct record_target *ret,
			 struct err *err) MUST_CHECK;

/* The row that is in the way of this one; sql.len 0 where the target cannot be compared with a row. */
bool record_lower_blocking(struct arena *a, const struct dialect *d, const struct model *m,
			   const struct record_row *row, const struct record_target *target, struct stmt *ret,
			   struct result_shape *ret_shape, struct err *err) MUST_CHECK;
/* The key by which `row` could be in the way, as text that equal keys share; STR_NONE: by none (a part is null or left
 * to the database, or the target is no list of columns). In the arena. */
struct str record_target_key(struct arena *a, const struct model *m, const struct record_row *row,
			     const struct record_target *target);

/* PostgreSQL: the COPY that takes rows like `row` (exec_load_begin); len 0 when they are to be inserted by statements:
 * nothing is given, or a key that the database may want to give itself. */
bool record_lower_load(struct arena *a, const struct dialect *d, const struct model *m, const struct record_row *row,
		       struct str *ret, struct err *err) MUST_CHECK;

/* PostgreSQL, after explicit ids: moves the sequence of m's autoincrement key past max(id); sql.len 0 when not needed.
 */
bool record_lower_sequence(struct arena *a, const struct dialect *d, const struct model *m, struct stmt *ret,
			   struct err *err) MUST_CHECK;

#endif
