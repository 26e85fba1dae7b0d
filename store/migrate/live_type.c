/* See live_type.h. */
#include "store/migrate/live_type.h"

#include "store/migrate/diff.h"

#include "service/base/banned.h"

bool live_type_own(const struct dialect *d, const struct live_column *c)
{
	enum storage_type st;
	int64_t length;

	return d->id == DIALECT_POSTGRES && !c->native_enum && !live_type_storage(d, c->type, &st, &length);
}

static void set_text(json_t *o, const char *key, struct str s)
{
	(void)json_object_set_new(o, key, json_stringn(s.p, s.len));
}

static json_t *type_json(const struct live_type_part *p);

static bool said_by_name(const struct live_type *t)
{
	return t == NULL || t->kind == 'b' || (t->kind == 'a' && said_by_name(t->inner.of));
}

/* What a domain adds to its base. */
static void put_domain(json_t *o, const struct live_type *t)
{
	json_t *domain = json_object(), *checks = json_array();

	for (size_t i = 0; i < t->n_checks; i++) {
		json_t *check = json_object();

		set_text(check, "name", t->checks[i].name);
		set_text(check, "expression", t->checks[i].kind);
		(void)json_array_append_new(checks, check);
	}
	if (t->not_null)
		(void)json_object_set_new(domain, "not_null", json_true());
	if (t->default_text.p != NULL)
		set_text(domain, "default_sql", t->default_text);
	if (t->n_checks > 0)
		(void)json_object_set(domain, "checks", checks);
	if (json_object_size(domain) > 0)
		(void)json_object_set(o, "domain", domain);
	json_decref(checks);
	json_decref(domain);
}

/* Ranges that are built in are known by their names. Recurses as deep as types are made of types. */
static void put_made_of(json_t *o, const struct live_type *t)
{
	static const char *const kinds[] = {['a'] = "array",     ['r'] = "range",  ['m'] = "multirange",
					    ['c'] = "composite", ['d'] = "domain", ['e'] = "enum"};
	json_t *list;

	if (said_by_name(t))
		return;
	(void)json_object_set_new(o, "type_kind", json_string(kinds[(unsigned char)t->kind]));
	if (t->kind == 'd') {
		(void)json_object_set_new(o, "base_type", type_json(&t->inner));
		put_domain(o, t);
	} else if (t->kind != 'c' && t->kind != 'e') {
		(void)json_object_set_new(o, "element", type_json(&t->inner));
	} else {
		list = json_array();
		for (size_t i = 0; i < t->n_parts; i++) {
			const struct live_type_part *part = &t->parts[i];
			json_t *v = t->kind == 'e' ? json_stringn(part->name.p, part->name.len) : json_object();

			if (t->kind == 'c') {
				set_text(v, "name", part->name);
				set_text(v, "db_type", part->type);
				put_made_of(v, part->of);
			}
			(void)json_array_append_new(list, v);
		}
		(void)json_object_set_new(o, t->kind == 'c' ? "fields" : "labels", list);
	}
}

static json_t *type_json(const struct live_type_part *p)
{
	json_t *o;

	if (said_by_name(p->of))
		return json_stringn(p->type.p, p->type.len);
	o = json_object();
	set_text(o, "db_type", p->type);
	put_made_of(o, p->of);
	return o;
}

enum logical_type live_type_ir(struct arena *a, const struct live_column *c, json_t *o)
{
	json_t *own = json_object();
	struct column read = {.name = c->name};
	const char *pointer, *wrong;
	json_t *labels;

	set_text(own, "db_type", c->type);
	put_made_of(own, c->made_of);
	labels = json_object_get(own, "labels");
	if (!schema_type_read(a, own, &read, &pointer, &wrong)) { /* deeper than anybody nests them: as text */
		(void)json_object_clear(own);
		set_text(own, "db_type", c->type);
		read.logical = LT_STRING;
	}
	if (labels != NULL) {
		(void)json_object_set(own, "enum_values", labels);
		(void)json_object_del(own, "labels");
	}
	if (o != NULL)
		(void)json_object_update(o, own);
	json_decref(own);
	return read.logical;
}
