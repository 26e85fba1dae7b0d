/* SchemaIR JSON -> what a table has beside its columns: foreign keys, indexes, uniques, checks, exclusions. */
#include "store/schema/schema_artifacts.h"

#include "service/base/limits.h"
#include "service/base/strbuf.h"
#include "store/dialect/dialect.h"
#include "store/schema/schema_history.h"
#include "store/schema/schema_sql.h"

#include "service/base/banned.h"

/* ---- foreign keys ---- */

/* `columns` and `to_columns` of a key over several; or the one pair that the reference knows. */
static void parse_pairs(struct parse *p, struct foreign_key *fk)
{
	size_t n_to = 0;

	if (parse_member(p, "columns") == NULL) {
		(void)parse_name(p, "column", true, LIMIT_NAME_BYTES, &fk->column);
		(void)parse_name(p, "to_column", false, LIMIT_NAME_BYTES, &fk->to_column);
		(void)parse_member(p, "to_columns");
		return;
	}
	fk->columns = parse_strings(p, "columns", &fk->n_columns);
	fk->to_columns = parse_strings(p, "to_columns", &n_to);
	(void)parse_member(p, "column");
	(void)parse_member(p, "to_column");
	if (fk->columns == NULL || fk->to_columns == NULL)
		return;
	if (fk->n_columns != n_to) {
		parse_fault(p, "to_columns", "must name a column for each of \"columns\"");
		return;
	}
	fk->column = fk->columns[0];
	fk->to_column = fk->to_columns[0];
	if (fk->n_columns > 1)
		return;
	fk->n_columns = 0;
	fk->columns = fk->to_columns = NULL;
}

static void parse_deferral(struct parse *p, bool *ret_deferrable, bool *ret_deferred)
{
	(void)parse_bool(p, "deferrable", ret_deferrable);
	(void)parse_bool(p, "initially_deferred", ret_deferred);
	if (*ret_deferred && !*ret_deferrable)
		parse_fault(p, "initially_deferred", "is for what is deferrable");
}

static void parse_foreign_keys(struct parse *model)
{
	struct model *m = model->d->m;
	const json_t *list = parse_array(model, "foreign_keys", LIMIT_COLUMNS);
	struct parse p;

	if (list == NULL || json_array_size(list) == 0)
		return;
	m->n_fks = json_array_size(list);
	m->fks = arena_array(model->b->arena, m->n_fks, sizeof(*m->fks));
	for (size_t i = 0; i < m->n_fks; i++) {
		struct foreign_key *fk = &m->fks[i];

		if (!parse_enter(&p, model, list, "foreign_keys", i))
			continue;
		parse_pairs(&p, fk);
		(void)parse_name(&p, "to_table", true, LIMIT_NAME_BYTES, &fk->to_table);
		(void)parse_str(&p, "on_delete", &fk->on_delete);
		(void)parse_str(&p, "on_update", &fk->on_update);
		if (parse_str(&p, "match", &fk->match) && !str_ieq_z(fk->match, "FULL"))
			parse_fault(&p, "match", "must be FULL");
		parse_deferral(&p, &fk->deferrable, &fk->deferred);
		(void)parse_name(&p, "name", false, 0, &fk->name);
		schema_parse_key_history(&p, fk);
		(void)parse_name(&p, "related_name", false, LIMIT_MODEL_NAME, &fk->related_name);
		(void)parse_name(&p, "to_schema", false, LIMIT_NAME_BYTES, &fk->to_schema);
		parse_leave(&p, false);
	}
}

/* ---- indexes ---- */

static void parse_key(struct parse *p, struct index_key *k)
{
	struct str nulls = STR_NONE;

	(void)parse_name(p, "column", false, LIMIT_NAME_BYTES, &k->column);
	(void)parse_name(p, "expression", false, 0, &k->expression);
	(void)parse_bool(p, "descending", &k->descending);
	(void)parse_name(p, "collation", false, 0, &k->collation);
	(void)parse_name(p, "operator_class", false, 0, &k->op_class);
	(void)parse_name(p, "operator", false, 0, &k->operator);
	if (parse_name(p, "nulls", false, 0, &nulls)) {
		k->nulls = str_eq_z(nulls, "first")  ? INDEX_NULLS_FIRST
			   : str_eq_z(nulls, "last") ? INDEX_NULLS_LAST
						     : INDEX_NULLS_NATIVE;
		if (k->nulls == INDEX_NULLS_NATIVE)
			parse_fault(p, "nulls", "must be first or last");
	}
	if ((k->column.p == NULL) == (k->expression.p == NULL))
		parse_fault(p, "column", "or else \"expression\" is what a key is");
	parse_leave(p, true);
}

/* The columns among the keys. */
static void columns_of_keys(struct schema_build *b, struct schema_index *x)
{
	struct str *names = arena_array(b->arena, x->n_keys, sizeof(*names));

	x->n_columns = 0;
	for (size_t i = 0; i < x->n_keys; i++)
		if (x->keys[i].column.p != NULL)
			names[x->n_columns++] = x->keys[i].column;
	x->columns = names;
}

static void parse_keys(struct parse *index, struct schema_index *x)
{
	const json_t *list = parse_array(index, "keys", LIMIT_COLUMNS);
	struct index_key *keys;
	struct parse p;

	if (list == NULL)
		return;
	if (json_array_size(list) == 0) {
		parse_fault(index, "keys", "must not be empty");
		return;
	}
	x->n_keys = json_array_size(list);
	keys = arena_array(index->b->arena, x->n_keys, sizeof(*keys));
	for (size_t i = 0; i < x->n_keys; i++)
		if (parse_enter(&p, index, list, "keys", i))
			parse_key(&p, &keys[i]);
	x->keys = keys;
	columns_of_keys(index->b, x);
}

static void parse_index(struct parse *p, struct schema_index *x)
{
	(void)parse_name(p, "name", false, 0, &x->name);
	parse_keys(p, x);
	if (x->keys == NULL)
		x->columns = parse_strings(p, "columns", &x->n_columns);
	else
		(void)parse_member(p, "columns");
	if (parse_member(p, "include") != NULL)
		x->include = parse_strings(p, "include", &x->n_include);
	(void)parse_name(p, "where", false, 0, &x->predicate);
	(void)parse_name(p, "method", false, LIMIT_NAME_BYTES, &x->method);
	if (x->method.p != NULL && str_ieq_z(x->method, "btree"))
		x->method = STR_NONE;
	parse_deferral(p, &x->deferrable, &x->deferred);
}

/* `indexes` or `uniques`; one place more than columns stays free for implied entries. */
static void parse_indexes(struct parse *model, const char *key, bool uniques, struct schema_index **ret, size_t *ret_n)
{
	const json_t *list = parse_array(model, key, LIMIT_COLUMNS);
	size_t n = list != NULL ? json_array_size(list) : 0;
	struct parse p;

	*ret = arena_array(model->b->arena, n + model->d->m->n_columns, sizeof(**ret));
	for (size_t i = 0; i < n; i++) {
		struct schema_index *x = &(*ret)[i];

		if (!parse_enter(&p, model, list, key, i))
			continue;
		parse_index(&p, x);
		x->unique = uniques;
		if (!uniques)
			(void)parse_bool(&p, "unique", &x->unique);
		(void)parse_bool(&p, "nulls_not_distinct", &x->nulls_not_distinct);
		(void)parse_bool(&p, "constraint", &x->constraint);
		if (x->constraint && (!uniques || x->keys != NULL || x->predicate.p != NULL))
			parse_fault(&p, "constraint", "is for a unique over columns and all rows");
		if (x->deferrable && !x->constraint)
			parse_fault(&p, "deferrable", "is for a constraint");
		if (uniques && !schema_index_keeps_unique(x))
			parse_fault(&p, "where", "and expressions are for \"indexes\", whose \"unique\" may be true");
		parse_leave(&p, false);
	}
	*ret_n = n;
}

static void parse_exclusions(struct parse *model)
{
	struct model *m = model->d->m;
	const json_t *list = parse_array(model, "exclusions", LIMIT_COLUMNS);
	struct parse p;

	if (list == NULL || json_array_size(list) == 0)
		return;
	m->n_exclusions = json_array_size(list);
	m->exclusions = arena_array(model->b->arena, m->n_exclusions, sizeof(*m->exclusions));
	for (size_t i = 0; i < m->n_exclusions; i++) {
		struct schema_index *x = &m->exclusions[i];

		if (!parse_enter(&p, model, list, "exclusions", i))
			continue;
		parse_index(&p, x);
		if (x->name.p == NULL)
			parse_fault(&p, "name", "is missing");
		for (size_t k = 0; k < x->n_keys; k++)
			if (x->keys[k].operator.p == NULL)
				parse_fault(&p, "keys", "of an exclusion have an \"operator\" each");
		if (x->keys == NULL)
			parse_fault(&p, "keys", "is missing");
		parse_leave(&p, true);
	}
}

/* ---- checks ---- */

/* Tokens of a predicate are SQL literals already. */
static bool put_token(struct strbuf *out, const json_t *v)
{
	if (!json_is_string(v) || !schema_sql_harmless(json_str(v), STR_NONE, STR_NONE))
		return false;
	strbuf_put(out, json_str(v));
	return true;
}

static bool put_column(struct strbuf *out, const json_t *v)
{
	if (!json_is_string(v) || json_string_length(v) == 0)
		return false;
	dialect_quote_ident(out, json_str(v));
	return true;
}

static bool put_list(struct strbuf *out, const json_t *o)
{
	const json_t *values = json_object_get(o, "values");
	bool ok = put_column(out, json_object_get(o, "column")) && json_array_size(values) > 0;

	strbuf_puts(out, " IN (");
	for (size_t i = 0; ok && i < json_array_size(values); i++) {
		strbuf_puts(out, i > 0 ? ", " : "");
		ok = put_token(out, json_array_get(values, i));
	}
	strbuf_putc(out, ')');
	return ok;
}

static bool put_comparison(struct strbuf *out, const json_t *o)
{
	static const struct {
		const char *word, *sign;
	} signs[] = {{"eq", " = "}, {"ne", " <> "}, {"lt", " < "}, {"le", " <= "}, {"gt", " > "}, {"ge", " >= "}};
	const json_t *other = json_object_get(o, "other");
	const struct str op = json_str(json_object_get(o, "op")), kind = json_str(json_object_get(other, "kind"));
	const char *sign = NULL;

	for (size_t i = 0; i < ARRAY_LEN(signs); i++)
		if (str_eq_z(op, signs[i].word))
			sign = signs[i].sign;
	if (sign == NULL || !put_column(out, json_object_get(o, "column")))
		return false;
	strbuf_puts(out, sign);
	return str_eq_z(kind, "column") ? put_column(out, json_object_get(other, "name"))
					: put_token(out, json_object_get(other, "token"));
}

/* The reference's predicate as SQL, each part in parentheses. Recurses as deep as JSON may be. */
static bool put_predicate(struct strbuf *out, const json_t *o)
{
	const struct str kind = json_str(json_object_get(o, "kind"));
	const bool both = str_eq_z(kind, "and") || str_eq_z(kind, "or");
	bool ok = false;

	strbuf_putc(out, '(');
	if (both) {
		ok = put_predicate(out, json_object_get(o, "left"));
		strbuf_puts(out, str_eq_z(kind, "and") ? " AND " : " OR ");
		ok = ok && put_predicate(out, json_object_get(o, "right"));
	} else if (str_eq_z(kind, "not")) {
		strbuf_puts(out, "NOT ");
		ok = put_predicate(out, json_object_get(o, "child"));
	} else if (str_eq_z(kind, "is_null") || str_eq_z(kind, "is_not_null")) {
		ok = put_column(out, json_object_get(o, "column"));
		strbuf_puts(out, str_eq_z(kind, "is_null") ? " IS NULL" : " IS NOT NULL");
	} else if (str_eq_z(kind, "cmp")) {
		ok = put_comparison(out, o);
	} else if (str_eq_z(kind, "in")) {
		ok = put_list(out, o);
	} else if (str_eq_z(kind, "like")) {
		ok = put_column(out, json_object_get(o, "column"));
		strbuf_puts(out, " LIKE ");
		ok = ok && put_token(out, json_object_get(o, "pattern"));
	}
	strbuf_putc(out, ')');
	return ok;
}

/* Version 3's. What comes of one is a check with an expression, which anybody may give: it is built of literals. */
static void parse_table_checks(struct parse *model)
{
	struct model *m = model->d->m;
	const json_t *list = parse_array(model, "table_checks", LIMIT_COLUMNS);
	struct parse p;

	for (size_t i = 0; i < json_array_size(list); i++) {
		struct schema_check *c = &m->checks[m->n_checks++];
		struct strbuf sql;

		if (!parse_enter(&p, model, list, "table_checks", i))
			continue;
		(void)parse_name(&p, "name", true, 0, &c->name);
		strbuf_init(&sql, 0);
		if (!put_predicate(&sql, parse_member(&p, "predicate")))
			parse_fault(&p, "predicate", "must be and, or, not, is_null, is_not_null, cmp, in or like");
		c->expression = arena_str(model->b->arena, schema_sql_bare(DIALECT_SQLITE, strbuf_str(&sql)));
		strbuf_done(&sql);
		c->built = true;
		parse_leave(&p, false);
	}
}

static void parse_checks(struct parse *model)
{
	struct model *m = model->d->m;
	const json_t *list = parse_array(model, "checks", LIMIT_COLUMNS);
	struct parse p;

	const json_t *table = parse_array(model, "table_checks", LIMIT_COLUMNS);

	m->checks = arena_array(model->b->arena, json_array_size(list) + json_array_size(table), sizeof(*m->checks));
	for (size_t i = 0; i < json_array_size(list); i++) {
		struct schema_check *c = &m->checks[m->n_checks++];

		if (!parse_enter(&p, model, list, "checks", i))
			continue;
		if (parse_name(&p, "expression", false, 0, &c->expression)) {
			(void)parse_name(&p, "name", true, 0, &c->name);
		} else {
			(void)parse_name(&p, "name", false, 0, &c->name);
			(void)parse_name(&p, "column", true, LIMIT_NAME_BYTES, &c->column);
			c->values = parse_strings(&p, "values", &c->n_values);
		}
		parse_leave(&p, false);
	}
}

void schema_parse_artifacts(struct parse *model)
{
	struct model *m = model->d->m;

	parse_foreign_keys(model);
	parse_indexes(model, "indexes", false, &m->indexes, &m->n_indexes);
	parse_indexes(model, "uniques", true, &m->uniques, &m->n_uniques);
	parse_checks(model);
	parse_table_checks(model);
	parse_exclusions(model);
}
