/* A record from JSON: every member is a column, defaults fill what is absent. */
#include <string.h>

#include "service/base/clock.h"
#include "store/query/query_parse.h"

#include "service/base/banned.h"

struct record {
	struct arena *arena;
	const struct dialect *dialect;
	const struct model *model;
	const char *pointer;
	bool partial;
	struct value *values;
	bool *given;
	struct err *err;
};

static const char *column_pointer(const struct record *r, const struct column *c)
{
	return json_pointer_key(r->arena, r->pointer, c->name);
}

/* Pointers are only made for faults: a bulk of records has many columns. */
static bool take_member(const struct record *r, const struct column *c, const json_t *v)
{
	if (json_is_null(v)) {
		if (c->autoincrement && !r->partial)
			return true;
		if (!c->nullable || c->primary_key)
			return query_not_null(r->err, column_pointer(r, c), r->model, c);
	}
	if (!codec_bind(r->arena, r->dialect, c, v, "", &r->values[c->index], r->err))
		return codec_bind(r->arena, r->dialect, c, v, column_pointer(r, c), &r->values[c->index], r->err);
	r->given[c->index] = true;
	return true;
}

/* "now()" in a schema is a word, which means something on columns of time only. */
static bool says_now(const struct column *c)
{
	static const char *const words[] = {"now()",        "now",          "current_timestamp",
					    "current_date", "current_time", "localtimestamp"};
	struct str s;

	if ((codec_traits(c) & CODEC_NOW) == 0 || !json_is_string(c->default_value))
		return false;
	s = json_str(c->default_value);
	for (size_t i = 0; i < ARRAY_LEN(words); i++)
		if (str_ieq_z(s, words[i]))
			return true;
	return false;
}

static bool bind_now(const struct record *r, const struct column *c, struct value *ret)
{
	char now[CLOCK_RFC3339_BYTES]; /* 2026-01-02T03:04:05.678Z */
	struct str s;

	clock_rfc3339(clock_real_us(), now);
	s = str_z(now);
	if (c->logical == LT_DATE)
		s = str_n(now, 10);
	else if (c->logical == LT_TIME)
		s = str_n(now + 11, s.len - 12);
	return codec_bind_text(r->arena, r->dialect, c, s, "", ret, r->err);
}

/* What binding says against a default is of no account: r->err only counts when false is returned. */
static bool take_default(const struct record *r, const struct column *c)
{
	bool ok;

	if (c->default_value == NULL || json_is_null(c->default_value)) {
		if (c->autoincrement || (c->nullable && !c->primary_key))
			return true;
		return query_not_null(r->err, column_pointer(r, c), r->model, c);
	}
	if (says_now(c))
		ok = bind_now(r, c, &r->values[c->index]);
	else
		ok = codec_bind(r->arena, r->dialect, c, c->default_value, "", &r->values[c->index], r->err);
	r->given[c->index] = ok; /* what the column cannot hold must be an expression of the database's own */
	return true;
}

bool record_from_json(struct arena *a, const struct dialect *d, const struct model *m, const json_t *obj,
		      const char *pointer, bool partial, struct record_row *ret, struct err *err)
{
	struct record r = {.arena = a, .dialect = d, .model = m, .pointer = pointer, .partial = partial, .err = err};
	const char *key;
	json_t *v;

	if (!json_is_object(obj))
		return err_set_at(err, ERR_INVALID_REQUEST, pointer, "a record is an object, not %s",
				  json_type_name(obj));
	r.values = arena_array(a, m->n_columns, sizeof(*r.values));
	r.given = arena_array(a, m->n_columns, sizeof(*r.given));
	json_object_foreach((json_t *)(uintptr_t)obj, key, v)
	{
		const struct column *c = model_column(m, str_z(key));

		if (c == NULL)
			return query_unknown_column(err, json_pointer_key(a, pointer, str_z(key)), m, str_z(key));
		if (!take_member(&r, c, v))
			return false;
	}
	for (size_t i = 0; i < m->n_columns && !partial; i++)
		if (!r.given[i] && !take_default(&r, &m->columns[i]))
			return false;
	*ret = (struct record_row){.values = r.values, .given = r.given};
	return true;
}

/* false: anything out of the ordinary. */
static bool take_scalar(const struct record *r, const struct column *c, const struct json_scalar *v)
{
	if (r->given[c->index])
		return false;
	r->given[c->index] = true;
	if (v->kind == JSON_SCALAR_NULL) {
		r->values[c->index] = value_null();
		return c->nullable && !c->primary_key && !c->autoincrement;
	}
	return codec_bind_scalar(r->arena, r->dialect, c, v, &r->values[c->index]);
}

bool record_from_text(struct arena *a, const struct dialect *d, const struct model *m, struct str text,
		      struct record_row *ret)
{
	struct err ignored;
	struct record r = {.arena = a, .dialect = d, .model = m, .pointer = "", .err = &ignored};
	struct json_flat f;
	struct json_scalar v;
	enum json_flat_result got;
	struct str name;

	r.values = arena_array(a, m->n_columns, sizeof(*r.values));
	r.given = arena_array(a, m->n_columns, sizeof(*r.given));
	json_flat_init(&f, arena_strz(a, text), text.len);
	while ((got = json_flat_next(&f, &name, &v)) == JSON_FLAT_MEMBER) {
		const struct column *c = model_column(m, name);

		if (c == NULL || !take_scalar(&r, c, &v))
			return false;
	}
	if (got != JSON_FLAT_END)
		return false;
	for (size_t i = 0; i < m->n_columns; i++)
		if (!r.given[i] && !take_default(&r, &m->columns[i]))
			return false;
	*ret = (struct record_row){.values = r.values, .given = r.given};
	return true;
}

void record_row_replace(struct arena *a, const struct model *m, struct record_row *row)
{
	struct value *values = arena_array(a, m->n_columns, sizeof(*values));
	bool *given = arena_array(a, m->n_columns, sizeof(*given));

	memcpy(values, row->values, m->n_columns * sizeof(*values));
	memcpy(given, row->given, m->n_columns * sizeof(*given));
	for (size_t i = 0; i < m->n_columns; i++) {
		const struct column *c = &m->columns[i];

		if (given[i] || c->autoincrement || c->primary_key || !c->nullable)
			continue;
		values[i] = value_null();
		given[i] = true;
	}
	*row = (struct record_row){.values = values, .given = given};
}
