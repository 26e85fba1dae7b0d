/* What the files that read QueryIR share. Only store/query/ includes it. */
#ifndef FERROD_STORE_QUERY_QUERY_PARSE_H
#define FERROD_STORE_QUERY_QUERY_PARSE_H

#include "store/query/query.h"

/* Of an object that query_known has gone through: a bit for each member's first two characters. */
struct query_noted {
	const json_t *obj;
	uint64_t names;
};

struct expr_scope;

#define QUERY_NOTED 4 /* the payload, and what was gone through last */

/* One document being read: everything lives in the arena; the first fault ends it. */
struct query_parse {
	struct arena *arena;
	const struct schema *schema;
	const struct dialect *dialect;
	struct err *err;
	unsigned include_depth, depth; /* of includes, of conditions */
	int version;                   /* of the envelope; 0: a bare payload */
	const json_t *joins;           /* of the reference's payload or node being read; NULL: none */
	struct query_noted noted[QUERY_NOTED];
	unsigned n_noted;
	/* Conditions inside of expressions: query_where.c's, which has expressions inside of it. */
	bool (*node)(struct query_parse *p, const struct model *m, const json_t *obj, const char *pointer,
		     const struct query_node **ret);
	bool (*nodes)(struct query_parse *p, const struct model *m, const json_t *list, const char *pointer,
		      const struct query_node *const **ret, size_t *ret_n);
	/* Expressions inside of others: query_parse_expr. */
	bool (*expr)(const struct expr_scope *s, const json_t *v, const struct column *hint, const char *pointer,
		     const struct query_expr **ret);
};

/* What stands around an expression. */
struct expr_scope {
	struct query_parse *p;
	const struct model *model;
	const struct column *own; /* of an update: operands that are left out are this column; NULL: there is none */
	bool given;               /* $given means something */
	bool compared;            /* what the expression gives is compared with the hint's, not stored as it */
};

void query_parse_init(struct query_parse *p, struct arena *a, const struct schema *s, const struct dialect *d,
		      struct err *err);
/* Conditions on m's rows. */
bool query_parse_nodes(struct query_parse *p, const struct model *m, const json_t *list, const char *pointer,
		       const struct query_node *const **ret, size_t *ret_n) MUST_CHECK;
/* query_join.c: the reference's inner joins as conditions beside those of *ret: the related record is there. */
bool query_joined(struct query_parse *p, const struct model *m, const json_t *joins, const char *pointer,
		  const struct query_node *const **ret, size_t *ret_n) MUST_CHECK;
/* query_reference.c: what only the reference's payloads have: `joins`, `materialization`, `set`, `after`, `before`. */
bool query_parse_reference(struct query_parse *p, struct query *q, const json_t *body, const char *pointer) MUST_CHECK;
/* `having` over q->aggregates. */
bool query_parse_having(struct query_parse *p, struct query *q, const json_t *list, const char *pointer) MUST_CHECK;
/* `select`, `distinct`, `aggregates`, `group_by`, `having`. */
bool query_parse_shape(struct query_parse *p, struct query *q, const json_t *body, const char *pointer) MUST_CHECK;
/* `fn` and what it is of. */
bool query_parse_aggregate(struct query_parse *p, const struct model *m, const json_t *obj, const char *pointer,
			   struct query_aggregate *ret) MUST_CHECK;
/* query_reference.c: `after` and `before`, values for the order. */
bool query_parse_keys(struct query_parse *p, struct query *q, const json_t *body, const char *pointer) MUST_CHECK;
/* `include`. */
bool query_parse_includes(struct query_parse *p, struct query *q, const json_t *list, const char *pointer) MUST_CHECK;
/* Everything of a payload but its model's name. */
bool query_parse_body(struct query_parse *p, struct query *q, const json_t *body, const char *pointer) MUST_CHECK;

static inline uint64_t query_name_bit(const char *key)
{
	return UINT64_C(1) << (((unsigned char)key[0] * 5U + (unsigned char)key[1]) & 63);
}

/* A member, NULL: there is none. Most are not there, which what was noted tells without looking them up. */
static inline const json_t *query_member(const struct query_parse *p, const json_t *obj, const char *key)
{
	for (size_t i = 0; i < QUERY_NOTED; i++)
		if (p->noted[i].obj == obj && (p->noted[i].names & query_name_bit(key)) == 0)
			return NULL;
	return json_object_get(obj, key);
}

/* The value of a typed node {"kind","value"}, or the value itself. */
const json_t *query_untyped(const json_t *v);
/* Is that a kind of such a node? */
bool query_is_value_kind(struct str kind);

/* A member that may be absent or null (*ret = NULL), else of that kind; ERR_INVALID_QUERY. */
bool query_member_array(struct query_parse *p, const json_t *obj, const char *key, const char *pointer,
			const json_t **ret) MUST_CHECK;
bool query_member_bool(struct query_parse *p, const json_t *obj, const char *key, const char *pointer,
		       bool *ret) MUST_CHECK;
bool query_member_str(struct query_parse *p, const json_t *obj, const char *key, const char *pointer, bool required,
		      struct str *ret) MUST_CHECK;
/* ERR_INVALID_QUERY at the first member of obj that is none of the words (NULL-terminated). What is no object has no
 * members. */
bool query_known(struct query_parse *p, const json_t *obj, const char *pointer, const char *const *words) MUST_CHECK;
/* Element i, which must be an object, and its pointer. */
bool query_element(struct query_parse *p, const json_t *list, size_t i, const char *pointer, const json_t **ret,
		   const char **ret_pointer) MUST_CHECK;

/* The model's column named by a member of obj; ERR_INVALID_QUERY, ERR_UNKNOWN_COLUMN. */
bool query_member_column(struct query_parse *p, const struct model *m, const json_t *obj, const char *key,
			 const char *pointer, const struct column **ret) MUST_CHECK;

/* ERR_UNKNOWN_COLUMN with table and column named; false. */
bool query_unknown_column(struct err *err, const char *pointer, const struct model *m, struct str name);
/* ERR_NOT_NULL_VIOLATION with table and column named; false. */
bool query_not_null(struct err *err, const char *pointer, const struct model *m, const struct column *c);
/* What a write through such a model is told; false. */
bool query_read_only(struct err *err, const struct model *m);

/* Is the column one of them? */
bool query_has_column(const struct column *const *list, size_t n, const struct column *c);

#endif
