/* See schema_history.h. */
#include "store/schema/schema_history.h"

#include <string.h>

#include "service/base/banned.h"

static void decref(void *arg)
{
	json_decref(arg);
}

static const json_t *keep(struct parse *p, const json_t *v)
{
	json_t *copy = json_dup(p->b->arena, v);

	arena_on_done(p->b->arena, decref, copy);
	return copy;
}

static bool are_strings(const json_t *list)
{
	for (size_t i = 0; i < json_array_size(list); i++)
		if (!json_is_string(json_array_get(list, i)))
			return false;
	return true;
}

static void parse_labels(struct parse *p, struct column *c)
{
	const json_t *renamed = parse_member(p, "enum_renamed_labels"), *labels = json_object_get(renamed, "labels");
	const json_t *retired = parse_array(p, "enum_retired_labels", LIMIT_COLUMNS);
	const char *key;
	json_t *v;

	if (renamed != NULL && (!json_is_object(renamed) || !json_is_object(labels))) {
		parse_fault(p, "enum_renamed_labels", "must be an object with \"labels\", of new labels and old ones");
		return;
	}
	json_object_foreach((json_t *)(uintptr_t)labels, key, v) if (!json_is_string(v))
		parse_fault(p, "enum_renamed_labels", "must name old labels, strings");
	if (renamed != NULL)
		c->renamed_labels = keep(p, renamed);
	if (retired != NULL && !are_strings(retired))
		parse_fault(p, "enum_retired_labels", "must be labels, strings");
	if (json_array_size(retired) > 0)
		c->retired_labels = keep(p, retired);
}

/* The only one of Python's that a server can be asked for. */
static void parse_factory(struct parse *p, struct column *c)
{
	if (!parse_name(p, "default_factory", false, 0, &c->default_factory))
		return;
	if (c->default_value != NULL && !json_is_null(c->default_value))
		parse_fault(p, "default_factory", "goes without a \"default\"");
	c->random_uuid = str_eq_z(c->default_factory, "uuid.uuid4");
	if (!c->random_uuid)
		schema_warn(p->b, "unknown_default_factory",
			    json_pointer_key(p->b->scratch, p->pointer, STR("default_factory")),
			    "\"%.*s\" is run by nobody here: give the value, or a \"default\"",
			    (int)(c->default_factory.len < 100 ? c->default_factory.len : 100), c->default_factory.p);
}

void schema_parse_history(struct parse *p, struct column *c)
{
	(void)parse_name(p, "renamed_from", false, LIMIT_NAME_BYTES, &c->renamed_from);
	(void)parse_bool(p, "retired", &c->retired);
	if (c->retired && c->primary_key)
		parse_fault(p, "retired", "is for columns that are not of the primary key");
	parse_labels(p, c);
	parse_factory(p, c);
}

void schema_parse_model_history(struct parse *p)
{
	(void)parse_name(p, "renamed_from", false, LIMIT_NAME_BYTES, &p->d->m->renamed_from);
	if (parse_member(p, "row_security") != NULL)
		parse_fault(p, "row_security",
			    "is not enforced by this server: rows would be read and written that its policies hide; "
			    "leave it out, and let the database's own policies stand");
}

/* The old name of the reference's field, which its column has with "_id". */
void schema_parse_key_history(struct parse *p, const struct foreign_key *fk)
{
	struct model *m = p->d->m;
	struct str old = STR_NONE;

	if (!parse_name(p, "renamed_from", false, LIMIT_NAME_BYTES, &old))
		return;
	if (str_ends(fk->column, STR("_id")) && !str_ends(old, STR("_id")))
		old = arena_printf(p->b->arena, "%.*s_id", STR_FMT(old));
	for (size_t i = 0; i < m->n_columns; i++)
		if (str_eq(m->columns[i].name, fk->column) && m->columns[i].renamed_from.p == NULL)
			m->columns[i].renamed_from = old;
}

/* ---- who may claim an old name ---- */

static void check_columns(struct schema_build *b, const struct draft *d)
{
	for (size_t i = 0; i < d->m->n_columns; i++) {
		const struct column *c = &d->m->columns[i];

		for (size_t k = 0; c->renamed_from.p != NULL && k < d->m->n_columns; k++) {
			const struct column *other = &d->m->columns[k];
			const bool there = k != i && str_eq(other->name, c->renamed_from);

			if (there ||
			    (k < i && other->renamed_from.p != NULL && str_eq(other->renamed_from, c->renamed_from)))
				schema_fault(b, schema_element_pointer(b, d, "columns", i),
					     "\"%.*s\" cannot be renamed from \"%.*s\": %s", STR_FMT(c->name),
					     STR_FMT(c->renamed_from),
					     there ? "a column has that name still" : "another column was, too");
		}
	}
}

static bool is_label(const struct column *c, const json_t *label)
{
	for (size_t i = 0; i < json_array_size(c->enum_values); i++)
		if (json_equal(json_array_get(c->enum_values, i), label))
			return true;
	return false;
}

static bool is_claimed(const json_t *labels, const char *by, const json_t *old)
{
	const char *key;
	json_t *v;

	json_object_foreach((json_t *)(uintptr_t)labels, key,
			    v) if (strcmp(key, by) != 0 && json_equal(v, old)) return true;
	return false;
}

/* Rows with a label that is still one would become another's with every migration. */
static void check_labels(struct schema_build *b, const struct draft *d, size_t i)
{
	const struct column *c = &d->m->columns[i];
	const json_t *labels = json_object_get(c->renamed_labels, "labels");
	const char *key;
	json_t *old;

	json_object_foreach((json_t *)(uintptr_t)labels, key, old)
	{
		const bool there = json_is_string(old) && is_label(c, old);

		if (there || (json_is_string(old) && is_claimed(labels, key, old)))
			schema_fault(b, schema_element_pointer(b, d, "columns", i),
				     "label \"%.100s\" cannot be renamed from \"%.100s\": %s", key,
				     json_string_value(old), there ? "it is a label still" : "another label was, too");
	}
}

void schema_check_history(struct schema_build *b)
{
	struct map tables, claims;

	map_init(&tables);
	map_init(&claims);
	for (size_t i = 0; i < b->n; i++)
		if (b->drafts[i].m->place.p != NULL)
			map_put(&tables, b->drafts[i].m->place, &b->drafts[i]);
	for (size_t i = 0; i < b->n; i++) {
		const struct draft *d = &b->drafts[i];
		struct str old;

		if (d->broken)
			continue;
		check_columns(b, d);
		for (size_t k = 0; k < d->m->n_columns; k++)
			check_labels(b, d, k);
		if (d->m->renamed_from.p == NULL || str_eq(d->m->renamed_from, d->m->table))
			continue;
		old = model_place(b->scratch, d->m->schema_name, d->m->renamed_from);
		if (map_get(&tables, old) != NULL || map_get(&claims, old) != NULL)
			schema_fault(b, d->pointer, "table \"%.*s\" cannot be renamed from \"%.*s\": %s",
				     STR_FMT(d->m->table), STR_FMT(d->m->renamed_from),
				     map_get(&tables, old) != NULL ? "a model has that table still"
								   : "another model's was, too");
		map_put(&claims, old, d->m);
	}
	map_done(&tables);
	map_done(&claims);
}
