/* What can be wrong with models whose shape is right. Every fault is noted, each with its pointer. */
#include "store/schema/schema_build.h"

#include <string.h>

#include "service/base/num.h"
#include "service/base/wait.h"
#include "store/schema/schema_history.h"
#include "store/schema/schema_sql.h"

#include "service/base/banned.h"

/* A set of names of one kind, to find those given twice. */
static bool taken(struct map *names, struct str name)
{
	static char mark;

	return map_put(names, name, &mark) != NULL;
}

static bool plain_string(const json_t *v)
{
	return json_is_string(v) && memchr(json_string_value(v), '\0', json_string_length(v)) == NULL;
}

/* An expression must be one on a database at least; on which one is known when a statement is made of it. */
static void check_sql(struct schema_build *b, const struct draft *d, const struct column *c, const char *at)
{
	const struct str sql = c->fill.default_sql;
	const char *why;

	if (sql.p == NULL)
		return;
	if (!schema_sql_expression(DIALECT_SQLITE, sql, &why) && !schema_sql_expression(DIALECT_POSTGRES, sql, &why))
		schema_fault(b, at, "the \"default_sql\" of column \"%.*s\" is no SQL expression: %s", STR_FMT(c->name),
			     why);
	else if (!d->kept && !b->may_sql && b->sql_given == NULL && !schema_sql_harmless(sql, d->m->table, c->name))
		b->sql_given = d->kept ? at : json_pointer_key(b->scratch, at, STR("default_sql"));
}

static void check_fill(struct schema_build *b, const struct draft *d, size_t i, const char *at)
{
	const struct column *c = &d->m->columns[i];
	const struct column_fill *f = &c->fill;

	check_sql(b, d, c, at);
	if (f->lock_version && c->logical != LT_INTEGER)
		schema_fault(b, at, "column \"%.*s\" cannot be the lock_version: it is not an integer",
			     STR_FMT(c->name));
	if ((f->now_on_create || f->now_on_update) && c->logical != LT_DATETIME && c->logical != LT_DATE &&
	    c->logical != LT_TIME)
		schema_fault(b, at, "column \"%.*s\" cannot hold the time of a write: it is no datetime, date or time",
			     STR_FMT(c->name));
	if ((f->generated == GENERATED_IDENTITY || f->generated == GENERATED_IDENTITY_ALWAYS) &&
	    c->logical != LT_INTEGER)
		schema_fault(b, at, "column \"%.*s\" cannot be an identity: it is not an integer", STR_FMT(c->name));
	for (size_t k = 0; f->lock_version && k < i; k++)
		if (d->m->columns[k].fill.lock_version)
			schema_fault(b, at, "the model has two columns with lock_version");
	if (c->sqlite_type.len > 0 && !schema_sql_type_name(c->sqlite_type))
		schema_fault(b, at, "the sqlite_type of column \"%.*s\" is no name of a type", STR_FMT(c->name));
	if (c->db_type.p != NULL && !schema_sql_type_name(c->db_type))
		schema_fault(b, at, "the db_type of column \"%.*s\" is no name of a type", STR_FMT(c->name));
}

/* SQL of a model must be one expression on a database at least, and not everybody may give it. */
static void check_expression(struct schema_build *b, const struct draft *d, struct str sql, const char *what,
			     const char *at)
{
	const char *why;

	if (sql.p == NULL)
		return;
	if (!schema_sql_expression(DIALECT_SQLITE, sql, &why) && !schema_sql_expression(DIALECT_POSTGRES, sql, &why))
		schema_fault(b, at, "the %s is no SQL expression: %s", what, why);
	else if (!d->kept && !b->may_sql && b->sql_given == NULL && !schema_sql_harmless(sql, STR_NONE, STR_NONE))
		b->sql_given = json_pointer_key(b->scratch, at, str_z(what));
}

/* The domains among the types that a type is made of. */
static void check_domains(struct schema_build *b, const struct draft *d, const json_t *type, const char *at)
{
	const json_t *domain = json_object_get(type, "domain"), *checks = json_object_get(domain, "checks");
	const json_t *sql = json_object_get(domain, "default_sql"), *fields = json_object_get(type, "fields");

	if (domain != NULL && (!json_is_object(domain) || (sql != NULL && !plain_string(sql)) ||
			       (checks != NULL && !json_is_array(checks))))
		schema_fault(b, at, "\"domain\" must be an object of not_null, default_sql and checks");
	else if (plain_string(sql))
		check_expression(b, d, json_str(sql), "default_sql", at);
	for (size_t i = 0; i < json_array_size(checks); i++) {
		const json_t *check = json_array_get(checks, i);

		if (!plain_string(json_object_get(check, "name")) ||
		    !plain_string(json_object_get(check, "expression")))
			schema_fault(b, at, "a check of the domain must have a name and an expression");
		else
			check_expression(b, d, json_str(json_object_get(check, "expression")), "expression", at);
	}
	if (json_is_object(json_object_get(type, "element")))
		check_domains(b, d, json_object_get(type, "element"), at);
	if (json_is_object(json_object_get(type, "base_type")))
		check_domains(b, d, json_object_get(type, "base_type"), at);
	for (size_t i = 0; i < json_array_size(fields); i++)
		check_domains(b, d, json_array_get(fields, i), at);
}

static void check_column(struct schema_build *b, const struct draft *d, size_t i, struct map *names)
{
	const struct column *c = &d->m->columns[i];
	const char *at = schema_element_pointer(b, d, "columns", i);

	if (taken(names, c->name))
		schema_fault(b, at, "column \"%.*s\" is there twice", STR_FMT(c->name));
	check_fill(b, d, i, at);
	if (c->type_json != NULL)
		check_domains(b, d, c->type_json, at);
	if (c->autoincrement && !c->primary_key)
		schema_fault(b, at, "column \"%.*s\" cannot be autoincrement: it is not the primary key",
			     STR_FMT(c->name));
	else if (c->autoincrement && c->logical != LT_INTEGER)
		schema_fault(b, at, "column \"%.*s\" cannot be autoincrement: it is not an integer", STR_FMT(c->name));
	else if (c->autoincrement && schema_single_pk(d->m) != c)
		schema_fault(b, at, "column \"%.*s\" cannot be autoincrement in a composite primary key",
			     STR_FMT(c->name));
	if (c->postgres_native_enum && (c->enum_type_name.p == NULL || json_array_size(c->enum_values) == 0))
		schema_fault(b, at, "a native enum needs \"enum_type_name\" and \"enum_values\"");
	for (size_t k = 0; c->postgres_native_enum && k < json_array_size(c->enum_values); k++)
		if (!plain_string(json_array_get(c->enum_labels, k)))
			schema_fault(b, at,
				     "value %zu of the native enum must be a string without NUL, or all integers in a "
				     "column of integers",
				     k);
}

static bool action_known(struct str word)
{
	static const char *const words[] = {"CASCADE", "RESTRICT", "SET NULL", "SET DEFAULT", "NO ACTION"};

	for (size_t i = 0; i < ARRAY_LEN(words); i++)
		if (str_ieq_z(word, words[i]))
			return true;
	return word.p == NULL;
}

static bool same_columns(const struct foreign_key *x, const struct foreign_key *y)
{
	bool same = x->n_columns == y->n_columns && str_eq(x->column, y->column) && str_eq(x->to_column, y->to_column);

	for (size_t i = 1; same && i < x->n_columns; i++)
		same = str_eq(x->columns[i], y->columns[i]) && str_eq(x->to_columns[i], y->to_columns[i]);
	return same;
}

static void check_pair(struct schema_build *b, const struct draft *d, const struct foreign_key *fk, struct str column,
		       struct str to, const char *at)
{
	const struct draft *target = schema_draft_of_key(b, fk);

	if (schema_find_column(d->m, column) == NULL)
		schema_fault(b, at, "the foreign key's column \"%.*s\" is not in the model", STR_FMT(column));
	if (target != NULL && !target->broken && schema_find_column(target->m, to) == NULL)
		schema_fault(b, at, "the foreign key points at column \"%.*s\", which table \"%.*s\" does not have",
			     STR_FMT(to), STR_FMT(fk->to_table));
}

static void check_foreign_key(struct schema_build *b, const struct draft *d, size_t i)
{
	const struct foreign_key *fk = &d->m->fks[i];
	const char *at = schema_element_pointer(b, d, "foreign_keys", i);

	check_pair(b, d, fk, fk->column, fk->to_column, at);
	for (size_t k = 1; k < fk->n_columns; k++)
		check_pair(b, d, fk, fk->columns[k], fk->to_columns[k], at);
	if (!action_known(fk->on_delete))
		schema_fault(b, at, "\"on_delete\" must be CASCADE, RESTRICT, SET NULL, SET DEFAULT or NO ACTION");
	if (!action_known(fk->on_update))
		schema_fault(b, at, "\"on_update\" must be CASCADE, RESTRICT, SET NULL, SET DEFAULT or NO ACTION");
	for (size_t k = 0; k < i; k++)
		if (str_eq(d->m->fks[k].to_table, fk->to_table) && str_eq(d->m->fks[k].to_schema, fk->to_schema) &&
		    same_columns(&d->m->fks[k], fk))
			schema_fault(b, at, "the same foreign key is there twice");
}

static void check_keys(struct schema_build *b, const struct draft *d, const struct schema_index *x, const char *at)
{
	for (size_t k = 0; k < x->n_keys; k++) {
		const struct index_key *key = &x->keys[k];

		check_expression(b, d, key->expression, "expression", at);
		if (key->operator.p != NULL && !schema_sql_operator(key->operator))
			schema_fault(b, at, "\"%.*s\" is no operator", STR_FMT(key->operator));
	}
	check_expression(b, d, x->predicate, "where", at);
	for (size_t k = 0; k < x->n_include; k++)
		if (schema_find_column(d->m, x->include[k]) == NULL)
			schema_fault(b, at, "column \"%.*s\" is not in the model", STR_FMT(x->include[k]));
}

static void check_index(struct schema_build *b, const struct draft *d, const char *array, const struct schema_index *x,
			size_t i)
{
	const char *at = schema_element_pointer(b, d, array, i);

	check_keys(b, d, x, at);
	for (size_t k = 0; k < x->n_columns; k++) {
		if (schema_find_column(d->m, x->columns[k]) == NULL)
			schema_fault(b, at, "column \"%.*s\" is not in the model", STR_FMT(x->columns[k]));
		for (size_t j = 0; j < k && x->keys == NULL; j++)
			if (str_eq(x->columns[j], x->columns[k]))
				schema_fault(b, at, "column \"%.*s\" is there twice", STR_FMT(x->columns[k]));
	}
}

/* Only what a check may hold reaches DDL as it is: 'text' with quotes doubled, a number, true or false. */
static bool is_literal(struct str s)
{
	double number;

	if (s.len >= 2 && s.p[0] == '\'' && s.p[s.len - 1] == '\'') {
		for (size_t i = 1; i + 1 < s.len; i++) {
			if (s.p[i] != '\'')
				continue;
			if (i + 2 >= s.len || s.p[i + 1] != '\'')
				return false;
			i++;
		}
		return true;
	}
	if (str_ieq_z(s, "true") || str_ieq_z(s, "false"))
		return true;
	return s.len > 0 && (s.p[0] == '-' || (s.p[0] >= '0' && s.p[0] <= '9')) && s.p[s.len - 1] >= '0' &&
	       s.p[s.len - 1] <= '9' && num_parse_double(s, &number);
}

static void check_check(struct schema_build *b, const struct draft *d, size_t i, struct map *names)
{
	const struct schema_check *c = &d->m->checks[i];
	const char *at = schema_element_pointer(b, d, "checks", i);

	if (!c->built)
		check_expression(b, d, c->expression, "expression", at);
	if (c->expression.p == NULL && schema_find_column(d->m, c->column) == NULL)
		schema_fault(b, at, "the check's column \"%.*s\" is not in the model", STR_FMT(c->column));
	for (size_t k = 0; k < c->n_values; k++)
		if (!is_literal(c->values[k]))
			schema_fault(b, at,
				     "value %zu is no SQL literal: 'text' with quotes doubled, a number, true or false",
				     k);
	if (taken(names, c->name))
		schema_fault(b, at, "check \"%.*s\" is there twice (names are cut at %d bytes)", STR_FMT(c->name),
			     LIMIT_NAME_BYTES);
}

/* Both databases keep such names for themselves, and find them before anybody's: what can be written there is not data
 * but how the session, or the server, works. */
static bool is_catalog(struct str table)
{
	static const char *const prefixes[] = {"pg_", "sqlite_", "pragma_"};

	for (size_t i = 0; i < ARRAY_LEN(prefixes); i++) {
		const size_t n = strlen(prefixes[i]);

		if (table.len >= n && str_ieq_z(str_n(table.p, n), prefixes[i]))
			return true;
	}
	return false;
}

/* An index, or a unique: its columns, and its name among those of all relations. */
static void check_named(struct schema_build *b, const struct draft *d, const char *array, const struct schema_index *x,
			size_t i, struct map *relations)
{
	check_index(b, d, array, x, i);
	if (taken(relations, model_place(b->scratch, d->m->schema_name, x->name)))
		schema_fault(b, schema_element_pointer(b, d, array, i),
			     "the name \"%.*s\" is taken by another table, index or unique (names are cut at %d bytes)",
			     STR_FMT(x->name), LIMIT_NAME_BYTES);
}

static void validate_model(struct schema_build *b, const struct draft *d, struct map *relations)
{
	const struct model *m = d->m;
	struct map columns, checks;

	map_init(&columns);
	map_init(&checks);
	if (!d->kept && !b->may_catalogs && is_catalog(m->table))
		schema_fault(
			b, schema_element_pointer(b, d, NULL, 0),
			"table \"%.*s\" bears a name of the database's own catalogs, which only the scope admin may "
			"make a model of",
			STR_FMT(m->table));
	for (size_t i = 0; i < m->n_columns; i++)
		check_column(b, d, i, &columns);
	for (size_t i = 0; i < m->n_fks; i++)
		check_foreign_key(b, d, i);
	for (size_t i = 0; i < m->n_indexes; i++)
		check_named(b, d, "indexes", &m->indexes[i], i, relations);
	for (size_t i = 0; i < m->n_uniques; i++)
		check_named(b, d, "uniques", &m->uniques[i], i, relations);
	for (size_t i = 0; i < m->n_checks; i++)
		check_check(b, d, i, &checks);
	for (size_t i = 0; i < m->n_exclusions; i++) {
		check_index(b, d, "exclusions", &m->exclusions[i], i);
		if (taken(relations, model_place(b->scratch, m->schema_name, m->exclusions[i].name)))
			schema_fault(b, schema_element_pointer(b, d, "exclusions", i), "the name \"%.*s\" is taken",
				     STR_FMT(m->exclusions[i].name));
	}
	for (size_t i = 0; i < m->n_key; i++)
		if (schema_find_column(m, m->key[i]) == NULL)
			schema_fault(b, schema_element_pointer(b, d, "key", i), "column \"%.*s\" is not in the model",
				     STR_FMT(m->key[i]));
	map_done(&columns);
	map_done(&checks);
}

/* One enum type has one list of values, whoever uses it. */
static void validate_enums(struct schema_build *b)
{
	struct map types;

	map_init(&types);
	for (size_t i = 0; i < b->n; i++) {
		const struct draft *d = &b->drafts[i];

		for (size_t k = 0; !d->broken && k < d->m->n_columns; k++) {
			struct column *c = &d->m->columns[k];
			const struct column *first;

			if (!c->postgres_native_enum || c->enum_type_name.p == NULL)
				continue;
			first = map_get(&types, c->enum_type_name);
			if (first == NULL)
				map_put(&types, c->enum_type_name, c);
			else if (!json_equal(first->enum_values, c->enum_values))
				schema_fault(b, schema_element_pointer(b, d, "columns", k),
					     "enum type \"%.*s\" has other values elsewhere",
					     STR_FMT(c->enum_type_name));
		}
	}
	map_done(&types);
}

void schema_validate(struct schema_build *b)
{
	struct map models, relations; /* relations: what shares one name space in a database, tables and indexes */

	map_init(&models);
	map_init(&relations);
	for (size_t i = 0; i < b->n; i++) {
		const struct draft *d = &b->drafts[i];

		if (d->m->name.p != NULL && taken(&models, d->m->name))
			schema_fault(b, d->pointer, "model \"%.*s\" is there twice", STR_FMT(d->m->name));
		if (d->m->place.p != NULL && taken(&relations, d->m->place))
			schema_fault(b, d->pointer, "table \"%.*s\" is there twice", STR_FMT(d->m->table));
	}
	for (size_t i = 0; i < b->n; i++) {
		wait_may_step_aside();
		if (!b->drafts[i].broken)
			validate_model(b, &b->drafts[i], &relations);
	}
	validate_enums(b);
	schema_check_history(b);
	map_done(&models);
	map_done(&relations);
}
