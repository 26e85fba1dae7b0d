/* SQL text under construction with its parameters, and the clauses that several statements share. Only store/query/
 * includes it. */
#ifndef FERROD_STORE_QUERY_QUERY_SQL_H
#define FERROD_STORE_QUERY_QUERY_SQL_H

#include "store/query/query_plan.h"

struct sql {
	struct arena *arena;
	const struct dialect *dialect;
	struct strbuf text;   /* owned: sql_finish or sql_drop frees it */
	struct value *params; /* in the arena */
	size_t n_params, n_room;
	const struct plan *plan; /* found: nothing is added to the text, which is the plan's */
	struct str qualifier;    /* table that column names are qualified with; STR_NONE: bare names */
	struct str table;        /* that bare names belong to */
	struct str *tables;      /* that the statement reads or writes, in the arena */
	size_t n_tables;
	unsigned n_aliases; /* of related tables, so far */
	/* Conditions inside of expressions, after an AND: sql_where.c's, which has expressions inside of it (sql_on).
	 */
	void (*conditions)(struct sql *s, const struct query_node *const *nodes, size_t n, const char *before);
	bool computing; /* inside arithmetic, whose outermost operation is the one that is checked */
};

void sql_init(struct sql *s, struct arena *a, const struct dialect *d);
/* The same for what may have been lowered before. */
void sql_begin(struct sql *s, struct arena *a, const struct dialect *d, const struct plan_key *key);
/* Frees the text of a statement that will not be. */
void sql_drop(struct sql *s);
/* Text and parameters as a statement, valid as long as the arena. More parameters than the database takes:
 * ERR_INVALID_QUERY. */
bool sql_finish(struct sql *s, enum stmt_access access, struct stmt *ret, struct err *err) MUST_CHECK;

void sql_put(struct sql *s, const char *z);
void sql_puts(struct sql *s, struct str text);
void sql_ident(struct sql *s, struct str name);
/* A table that the statement reads or writes: a model's, with its schema where it has one. */
void sql_table(struct sql *s, const struct model *m);
/* The table that a relation reaches first: the join table of a many-to-many, else the target's. */
void sql_relation_table(struct sql *s, const struct relation *r);
/* A join table by its name. */
void sql_join_table(struct sql *s, struct str name);
/* "table"."name" or "name", as the qualifier says. */
void sql_column(struct sql *s, struct str name);
void sql_param(struct sql *s, struct value v);
/* What is to be stored in the column. */
void sql_written(struct sql *s, const struct column *c, struct value v);
/* SQLite: the value of an update of a uuid that may be there in its other form, and then stays in it.
 * False: it has none. */
bool sql_uuid_set(struct sql *s, const struct query_set *set);
/* Column names joined by ", ". */
void sql_columns(struct sql *s, const struct column *const *columns, size_t n);

/* Around an expression that computes decimals: SQLite does it in doubles, whose text has the fifteen digits that a
 * decimal column keeps there, so that 0.1 + 0.2 is 0.3. Give what the first returned to the second. */
bool sql_round_before(struct sql *s, const struct column *c);
void sql_round_after(struct sql *s, bool rounding);

bool sql_on_postgres(const struct sql *s);
/* At the end of a write into the model that answers no rows, where the engine does not count them: a row of one column
 * for each. True: it stands there. */
bool sql_count_rows(struct sql *s, const struct model *m);
/* sql_time.c: are the column's values times of SQLite's, in whatever form? c may be NULL here and below. */
bool sql_is_time(const struct sql *s, const struct column *c);
/* SQLite: what a boolean is set to in a column of words: the word that is there, where it says the same. */
void sql_set_boolean(struct sql *s, const struct column *c, struct value v);
/* PostgreSQL: whether the column's integers are the labels of an enum, or were made to be; what orders them stands
 * between these two, or it would go by the places of the labels in the type. */
bool sql_is_numbered(const struct sql *s, const struct column *c);
void sql_number_before(struct sql *s, bool numbered);
void sql_number_after(struct sql *s, bool numbered);
/* Is the order of what is stored time order, as far as the column's spelling says? True for what is no time. */
bool sql_time_ordered(const struct sql *s, const struct column *c);
/* What stands before and behind such a value where it is compared with others; nothing where it is none. */
void sql_time_before(struct sql *s, const struct column *c);
void sql_time_after(struct sql *s, const struct column *c);
/* May the values of the column be written in several forms? */
bool sql_time_has_forms(const struct sql *s, const struct column *c);
/* The same where equal times are to be one value of an answer: groups, DISTINCT, extremes. */
void sql_time_same_before(struct sql *s, const struct column *c);
void sql_time_same_after(struct sql *s, const struct column *c);
/* A value in the form that the function of sql_time_before answers. */
struct value sql_time_value(struct sql *s, const struct column *c, struct value v);
/* PostgreSQL's uuids: what works on text only needs a cast. c may be NULL. */
bool sql_needs_text(const struct sql *s, const struct column *c);

/* sql_convert.c: around what has values of type `from`, where those of `to` are wanted: in its spelling (SQLite), of
 * its type (PostgreSQL), or as documents. */
void sql_convert_before(struct sql *s, const struct column *from, const struct column *to);
void sql_convert_after(struct sql *s, const struct column *from, const struct column *to);
/* As which of them values of both are compared: as what they mean, not as their texts. */
const struct column *sql_compared(const struct sql *s, const struct column *a, const struct column *b);
/* PostgreSQL's name of a value's type, where a parameter would tell nothing of it; false: it is left to the context. */
bool sql_has_type(struct sql *s, const struct column *c);
void sql_type(struct sql *s, const struct column *c);

/* sql_expr.c */
void sql_expr(struct sql *s, const struct query_expr *e);
/* The same where values of another column's type are wanted. */
void sql_expr_as(struct sql *s, const struct query_expr *e, const struct column *to);
/* The value of an update: what is computed, without parentheses around it. */
void sql_set(struct sql *s, const struct query_set *set);
/* sql_read.c: around a text that is read as a value of the type; null where it says none. */
void sql_read_before(struct sql *s, const struct column *type);
void sql_read_after(struct sql *s, const struct column *type);
/* sql_at_path.c: what stands before the document of $set_path and $remove_path, and the value; see put_at_path. False:
 * the database has one function for it. */
bool sql_at_path_before(struct sql *s, const struct query_expr *e);
/* sql_ref.c */
/* A column, wherever its relations and path lead; null where they lead nowhere. */
void sql_reference(struct sql *s, const struct query_expr *e);
/* PostgreSQL: a column as a document that has operators (json has few); the end of a path from it, step by step, as an
 * index on such an expression would be written: as text or as jsonb. Which of the two the table has, the model may not
 * know: the cast of what is jsonb is nothing to the planner. */
void sql_jsonb(struct sql *s, const struct column *c);
void sql_chain(struct sql *s, const struct query_expr *e, bool last_text);
/* How many related records the conditions hold for. */
void sql_counted(struct sql *s, const struct query_expr *e);
/* What a leaf stands for as a document, on PostgreSQL as jsonb. */
void sql_document(struct sql *s, const struct query_expr *e);
/* The column's text with what a text search of PostgreSQL makes of it, and the search. */
void sql_search_text(struct sql *s, const struct query_node *match);
void sql_search(struct sql *s, const struct query_node *match);
/* SQLite: the path's text, as a parameter. */
void sql_path_param(struct sql *s, const struct query_step *steps, size_t n);
/* SQLite: name(column, path), of a column without a path the whole document. */
void sql_json_call(struct sql *s, const char *name, const struct query_expr *e);
/* SQLite: column -> path, the text of what is there. */
void sql_json_at(struct sql *s, const struct query_expr *e);
/* A name for a related table that no other of the statement has; what follows is qualified with it. Give what it
 * returned back to the qualifier. */
struct str sql_enter(struct sql *s, struct str *ret_outer);
/* " INNER JOIN target AS alias ON ..." from a join table's row, qualified `through`, to the record it leads to; what
 * follows is qualified with that. */
void sql_join_target(struct sql *s, const struct relation *r, struct str through);
/* The name that it would give. */
struct str sql_next_alias(const struct sql *s);

/* sql_where.c: conditions, ANDed, standing alone or after an AND. */
void sql_conditions(struct sql *s, const struct query *q, const struct query_node *const *nodes, size_t n);
/* The same after `before`; nothing at all when there are none. */
void sql_more_conditions(struct sql *s, const struct query_node *const *nodes, size_t n, const char *before);

/* Columns of an answer, joined by ", ", with their names. first: nothing stands before them. same: equal ones are told
 * apart from others (groups, DISTINCT). */
void sql_items(struct sql *s, const struct query_item *items, size_t n, bool first, bool same);

/* The expression of an aggregate. */
void sql_aggregate(struct sql *s, const struct query_aggregate *g);
/* ' FROM "t"', with the join of m2m (which sets the qualifier before: see sql_qualify). */
void sql_from(struct sql *s, const struct query *q);
/* Whose columns the names are. To be called before expressions and conditions. */
void sql_on(struct sql *s, const struct model *m);
/* The same, and column names are ambiguous once there is a join. */
void sql_qualify(struct sql *s, const struct query *q);
/* " WHERE ..." or nothing. */
void sql_where(struct sql *s, const struct query *q);
/* " AND ..." or nothing: after a condition of the caller's own. */
void sql_and_where(struct sql *s, const struct query *q);
void sql_group(struct sql *s, const struct query *q);
void sql_order(struct sql *s, const struct query *q);
/* The same in a window, where positions of columns mean nothing. */
void sql_order_window(struct sql *s, const struct query *q);
/* page: the numbers may stand in the text (plan_limit_stands). */
void sql_limit(struct sql *s, const struct query *q, bool page);

#endif
