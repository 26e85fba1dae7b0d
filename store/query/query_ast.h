/*
 * QueryIR as an AST. Lives in the request's arena; borrows the schema snapshot. What stands in a query after parsing is
 * known: every column and relation is the snapshot's, every value is bound (typed) for the dialect.
 */
#ifndef FERROD_STORE_QUERY_QUERY_AST_H
#define FERROD_STORE_QUERY_QUERY_AST_H

#include "service/base/json.h"
#include "store/dialect/dialect.h"
#include "store/schema/schema.h"
#include "store/value.h"

enum query_op {
	OP_EQ,
	OP_NE,
	OP_LT,
	OP_LE,
	OP_GT,
	OP_GE,
	OP_IN,
	OP_NOT_IN,
	OP_LIKE,
	OP_NOT_LIKE,
	OP_ILIKE,
	OP_NOT_ILIKE,
	OP_BETWEEN,
	OP_IS_NULL,
	OP_IS_NOT_NULL,
	OP_DISTINCT,
	OP_NOT_DISTINCT,
	OP_REGEX,
	OP_IREGEX,
	OP_CONTAINS,
	OP_CONTAINED,
	OP_OVERLAP,
	OP_ANY,
	OP_HAS_KEY,
	OP_HAS_ANY,
	OP_HAS_ALL,
	OP_ADJACENT,
	OP_LEFT_OF,
	OP_RIGHT_OF,
	OP_NOT_LEFT, /* nothing of it lies to the left of the other */
	OP_NOT_RIGHT,
	OP_MATCH
};

struct query_node;

/* One step of a path into a document. */
struct query_step {
	struct str key; /* STR_NONE: index */
	int64_t index;
};

/* What a path's end is read as: values of another kind are null there. */
enum query_path_type { PATH_JSON, PATH_TEXT, PATH_NUMBER, PATH_BOOLEAN };

enum expr_kind {
	EXPR_COLUMN, /* of the row, or of a related one */
	EXPR_GIVEN,  /* of the row that an upsert would have inserted */
	EXPR_VALUE,
	EXPR_ADD,
	EXPR_SUB,
	EXPR_MUL,
	EXPR_DIV,
	EXPR_CONCAT,
	EXPR_COALESCE,
	EXPR_LOWER,
	EXPR_UPPER,
	EXPR_LENGTH,
	EXPR_NOW,
	EXPR_CASE,
	EXPR_APPEND,      /* array, element */
	EXPR_REMOVE,      /* array, element */
	EXPR_MERGE,       /* document, document: the second's members win */
	EXPR_SET_PATH,    /* document, document: put at `path` */
	EXPR_REMOVE_PATH, /* document: without what is at `path` */
	EXPR_COUNT,       /* how many related records `where` holds for */
	EXPR_RANK,        /* how well `match` does */
	EXPR_READ         /* what a text says, as a value of the type; null where it says none */
};

/* A value that the database computes. */
struct query_expr {
	enum expr_kind kind;
	struct column type; /* what its values are: binds what is compared with them, decodes results; no name */
	const struct column *column;        /* COLUMN, GIVEN */
	const struct relation *const *hops; /* COLUMN: to-one relations on the way to it; COUNT: to the counted */
	size_t n_hops;
	const struct query_step *path; /* into the column's document; SET_PATH, REMOVE_PATH */
	size_t n_path;
	enum query_path_type path_type;
	struct value value;                   /* VALUE */
	const struct query_expr *const *args; /* CASE: the results, and last what else */
	size_t n_args;
	const struct query_node *const *when; /* CASE: n_args - 1; COUNT: `n_when` conditions, ANDed */
	size_t n_when;
	const struct query_node *match; /* RANK */
};

enum node_kind { NODE_LEAF, NODE_AND, NODE_OR, NODE_NOT, NODE_RELATION };

enum quantifier { QUANTIFIER_ANY, QUANTIFIER_NONE, QUANTIFIER_ALL };

struct query_node {
	enum node_kind kind;
	/* LEAF: column, expr, or (having) an aggregate */
	enum query_op op;
	const struct column *column;
	const struct query_expr *expr; /* in place of a column */
	size_t aggregate;              /* having: index into query->aggregates */
	const struct value
		*values; /* n_values: 1 for comparisons (may be NULL), any for IN, 2 for BETWEEN, 0 for IS NULL */
	size_t n_values;
	const struct query_expr *operand; /* in place of one value */
	bool stored;                      /* on a page's edge: values as they are stored, in the order's own terms */
	struct str config;                /* MATCH: text search configuration; STR_NONE: the database's */
	const struct model *model;        /* MATCH of a whole row: whose */
	/* AND, OR: both; NOT: left */
	const struct query_node *left, *right;
	/* RELATION */
	const struct relation *relation;
	enum quantifier quantifier;
	/* Stands for a leaf on the related record's column: NOT around it goes to the condition inside, since a row
	 * without a related record has null there, of which neither holds. */
	bool reference;
	const struct query_node *const *where; /* ANDed */
	size_t n_where;
};

enum order_nulls { NULLS_DEFAULT, NULLS_FIRST, NULLS_LAST };

struct query_order {
	const struct column *column;
	const struct query_expr *expr; /* used when column is NULL */
	size_t aggregate;              /* used when both are NULL */
	bool descending;
	enum order_nulls nulls;
};

enum aggregate_fn { AGG_COUNT, AGG_SUM, AGG_AVG, AGG_MIN, AGG_MAX };

struct query_aggregate {
	enum aggregate_fn fn;
	const struct column *column;   /* NULL: see expr */
	const struct query_expr *expr; /* NULL too: count(*) */
	struct str alias;
};

/* One column of an answer. */
struct query_item {
	const struct column *column; /* NULL: expr */
	const struct query_expr *expr;
	struct str name; /* in the answer */
};

struct query_m2m {
	struct str join_table, source_col, target_col;
	struct str target_key; /* the model's column that target_col points at; STR_NONE: its primary key */
	struct value source_id;
};

struct query;

/* The values that rows are wanted for: of a column of the query's model, or of the join table's source column. */
struct query_each {
	const struct column *link;
	const struct column *const *links; /* of a link over several columns, `link` among them; NULL: it is the one */
	size_t n_links;
	const struct query_m2m *join; /* its source_id is not used; NULL: link is the model's own */
	const struct value *values;   /* one a link's column */
	size_t n_values;              /* at least one */
};

struct query_include {
	const struct relation *relation;
	struct query *query; /* on the target model: where, order, limit, nested includes */
	struct str name;     /* in the answer */
};

enum query_lock { QUERY_LOCK_NONE, QUERY_LOCK_SHARE, QUERY_LOCK_UPDATE };

struct query {
	const struct dialect *dialect;
	const struct schema *schema;
	const struct model *model;
	const struct query_node *const *where; /* ANDed roots */
	size_t n_where;
	struct query_order *order;
	size_t n_order;
	bool has_limit, has_offset;
	int64_t limit, offset;
	const struct query_m2m *m2m; /* NULL: none */
	/* beyond v1 */
	const struct query_item *select; /* NULL: every column; in the order asked */
	size_t n_select;
	const struct query_item *extra; /* read after them, not shown: a cursor needs them */
	size_t n_extra;
	bool distinct;
	struct query_aggregate *aggregates;
	size_t n_aggregates;
	const struct query_item *group_by;
	size_t n_group_by;
	const struct query_node *const *having;
	size_t n_having;
	struct query_include *includes;
	size_t n_includes;
	struct str cursor;        /* opaque text; STR_NONE: none */
	const struct value *keys; /* n_order values that the rows stand after, or before; NULL: none */
	bool before;
	enum query_lock lock;
	/* of an update, when it stands in the payload */
	const json_t *set;
	const char *set_pointer;
};

enum set_fill {
	SET_GIVEN,
	SET_DEFAULT, /* what the database would give to a new row */
	SET_COUNT    /* one more than it is; NULL counts as 0 */
};

struct query_set {
	const struct column *column;
	enum set_fill fill; /* but for SET_GIVEN in place of what follows */
	struct str
		default_sql; /* SQLite, of SET_DEFAULT: what the database says it is; STR_NONE: what the model says */
	struct value value;
	const struct query_expr *expr; /* not NULL: in place of the value */
};

#endif
