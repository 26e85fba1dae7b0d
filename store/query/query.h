/*
 * QueryIR as an AST, resolved against a model snapshot: every column and relation is checked, every value is bound
 * (typed) by the codec for the dialect it will run on. Lives in the request's arena; borrows the schema snapshot.
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
const struct query_node *query_leaf_equal(struct arena *a, const struct column *c, struct value v);

/* e op *v (or no value: NULL, which is borrowed); checks nothing. */
const struct query_node *query_leaf_expr(struct arena *a, const struct query_expr *e, enum query_op op,
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

/* Members of an update's `set`, in the document's order. Empty: ERR_INVALID_QUERY. null for a NOT NULL column:
 * ERR_NOT_NULL_VIOLATION. */
bool query_set_from_json(struct arena *a, const struct model *m, const struct dialect *d, const json_t *set,
			 const char *pointer, struct query_set **ret, size_t *ret_n, struct err *err) MUST_CHECK;

/* query_keyset.c: turns q->keys into a condition, with the order turned round for what stands before them: the nearest
 * rows come first. */
void query_keyset(struct arena *a, struct query *q);

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

/* The identity map's key text of a decoded row (full shape): unambiguous for every pk type. In the arena. */
struct str query_identity_key(struct arena *a, const struct model *m, const struct value *key);

/* ---- record_json.c, record_lower.c ---- */

enum record_conflict {
	RECORD_INSERT,     /* plain */
	RECORD_IGNORE,     /* ON CONFLICT (cols) DO NOTHING */
	RECORD_IGNORE_ANY, /* ON CONFLICT DO NOTHING, whatever the key that conflicts */
	RECORD_UPDATE      /* ON CONFLICT (cols) DO UPDATE SET every given non-conflict column */
};

/* One row to insert: values[i] belongs to columns[i]; `given[i]` false: the column's default. */
struct record_row {
	const struct value *values; /* model->n_columns */
	const bool *given;          /* model->n_columns */
};

/* JSON object -> row. Unknown member: ERR_UNKNOWN_COLUMN; null for a required column: ERR_NOT_NULL_VIOLATION (null for
 * an autoincrement key means absent); absent columns with a literal default in the schema take it, so that both
 * databases agree
 * ("now()" and its kin on a temporal column: the time now; a default that the column cannot hold is left to the
 * database); absent NOT NULL without default: ERR_NOT_NULL_VIOLATION. `partial` (PATCH): absent columns stay ungiven,
 * no defaults. */
bool record_from_json(struct arena *a, const struct dialect *d, const struct model *m, const json_t *obj,
		      const char *pointer, bool partial, struct record_row *ret, struct err *err) MUST_CHECK;

/* The quick way to the same row for a record whose values are all of the usual kinds; `text` is copied to `a`. false,
 * without an error: parse it, and take record_from_json. */
bool record_from_text(struct arena *a, const struct dialect *d, const struct model *m, struct str text,
		      struct record_row *ret) MUST_CHECK;

/* For PUT, which replaces: every column that is not given becomes null, but for autoincrement keys and columns that
 * cannot be null (the database's default). */
void record_row_replace(struct arena *a, const struct model *m, struct record_row *row);

/* INSERT of n rows with the same `given` set; DEFAULT VALUES when nothing is given. returning: every column (shape
 * full). conflict columns: model columns (NULL, 0: the primary key). */
bool record_lower_insert(struct arena *a, const struct dialect *d, const struct model *m, const struct record_row *rows,
			 size_t n_rows, enum record_conflict conflict, const struct column *const *conflict_columns,
			 size_t n_conflict, bool returning, struct stmt *ret, struct result_shape *ret_shape,
			 struct err *err) MUST_CHECK;

/* PostgreSQL: the COPY that takes rows like `row` (exec_load_begin); len 0 when they are to be inserted by statements:
 * nothing is given, or a key that the database may want to give itself. */
bool record_lower_load(struct arena *a, const struct dialect *d, const struct model *m, const struct record_row *row,
		       struct str *ret, struct err *err) MUST_CHECK;

/* PostgreSQL, after explicit ids: moves the sequence of m's autoincrement key past max(id); sql.len 0 when not needed.
 */
bool record_lower_sequence(struct arena *a, const struct dialect *d, const struct model *m, struct stmt *ret,
			   struct err *err) MUST_CHECK;

#endif
