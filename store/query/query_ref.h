/* References to columns: of the row, of related records, and into documents. Only store/query/ includes it. */
#ifndef FERROD_STORE_QUERY_QUERY_REF_H
#define FERROD_STORE_QUERY_QUERY_REF_H

#include "store/query/query_parse.h"

/* The members of an object that refers to a column, for lists of what is known. */
#define REF_MEMBERS "relation", "path", "type"

/* The column that obj[key] names, with the members beside it: `relation` (to-one, nested by dots), `path` and `type`.
 * The reference's form is read too: a `path` of relations. ERR_INVALID_QUERY, ERR_UNKNOWN_COLUMN. */
bool query_ref(struct query_parse *p, const struct model *m, const json_t *obj, const char *key, const char *pointer,
	       const struct query_expr **ret) MUST_CHECK;
/* The plain column that an expression is; NULL: it is more. */
const struct column *query_plain(const struct query_expr *e);
/* Are both the same column by the same way? */
bool query_same_reference(const struct query_expr *a, const struct query_expr *b);
/* A model's own column as an expression. */
struct query_expr *query_expr_column(struct arena *a, const struct column *c);

/* The relations that `name` leads through, dots between them. to_one: each must be. ERR_INVALID_QUERY. */
bool query_hops(struct query_parse *p, const struct model *m, struct str name, bool to_one, const char *pointer,
		const struct relation *const **ret, size_t *ret_n) MUST_CHECK;
/* The model at the end of relations; m without any. */
const struct model *query_hops_end(const struct model *m, const struct relation *const *hops, size_t n);
/* A list of the reference's hops ({relation, from_column, to_table, to_column}). */
bool query_reference_hops(struct query_parse *p, const struct model *m, const json_t *list, const char *pointer,
			  const struct relation *const **ret, size_t *ret_n) MUST_CHECK;

/* Steps of a path into a document: strings and whole numbers. */
bool query_steps(struct query_parse *p, const json_t *list, const char *pointer, const struct query_step **ret,
		 size_t *ret_n) MUST_CHECK;
/* Can the database follow these keys? ERR_INVALID_QUERY. */
bool query_steps_sayable(struct query_parse *p, const struct query_step *steps, size_t n,
			 const char *pointer) MUST_CHECK;

/* Conditions on records that relations lead to: one node a relation, the last around `inner`. */
const struct query_node *query_related(struct arena *a, const struct relation *const *hops, size_t n, enum quantifier q,
				       const struct query_node *const *inner, size_t n_inner);
/* What a leaf on a reference is lowered from: a condition on the related record where that says the same. */
const struct query_node *query_settle(struct arena *a, struct query_node *leaf);

#endif
