/* A record from JSON: every member is a column, defaults fill what is absent. */
#include <string.h>

#include "service/base/clock.h"
#include "service/base/num.h"
#include "store/query/query_parse.h"

#include "service/base/banned.h"

struct record {
	struct arena *arena;
	const struct dialect *dialect;
	const struct model *model;
	const char *pointer;
	unsigned how;
	struct value *values;
	bool *given, *sent;
	struct err *err;
};

static const char *column_pointer(const struct record *r, const struct column *c)
{
	return json_pointer_key(r->arena, r->pointer, c->name);
}

static bool only_read(struct arena *a, const char *pointer, const struct column *c, struct err *err)
{
	const char *at = json_pointer_key(a, pointer, c->name);

	if (c->fill.generated == GENERATED_IDENTITY_ALWAYS)
		return err_set_at(
			err, ERR_INVALID_VALUE, at,
			"the database always generates \"%.*s\"; send Prefer: identity=override to give a value",
			STR_FMT(c->name));
	return err_set_at(err, ERR_INVALID_VALUE, at, "\"%.*s\" is only read: the database computes it",
			  STR_FMT(c->name));
}

/* A member that is only read says nothing in a change, if it says what is there already: who changes looks at it. */
static bool take_only_read(const struct record *r, const struct column *c, const json_t *v)
{
	if ((r->how & (RECORD_PARTIAL | RECORD_REPLACE)) == 0)
		return (json_is_null(v) && !c->fill.read_only) || only_read(r->arena, r->pointer, c, r->err);
	if (!codec_bind(r->arena, r->dialect, c, v, column_pointer(r, c), &r->values[c->index], r->err))
		return false;
	r->sent[c->index] = true;
	return true;
}

bool column_only_read(const struct column *c)
{
	return c->fill.read_only || c->fill.generated >= GENERATED_IDENTITY_ALWAYS;
}

/* May the member be given here? An identity of the key comes with the path of a PUT, and counts if a row is made. */
static bool may_write(const struct record *r, const struct column *c)
{
	if (!column_only_read(c))
		return true;
	if (c->fill.generated != GENERATED_IDENTITY_ALWAYS || c->fill.read_only || (r->how & RECORD_PARTIAL) != 0)
		return false;
	return (r->how & RECORD_OVERRIDE) != 0 || ((r->how & RECORD_REPLACE) != 0 && c->primary_key);
}

/* A value that is not of its column's type says in a change that it stays what it is, as what is only read does. */
static bool take_stored(const struct record *r, const struct column *c, const json_t *v)
{
	const char *at = column_pointer(r, c);

	if ((r->how & (RECORD_STATED | RECORD_REPLACE)) == 0)
		return codec_bind(r->arena, r->dialect, c, v, at, &r->values[c->index], r->err);
	r->sent[c->index] = codec_bind_stored(r->arena, r->dialect, c, v, at, &r->values[c->index], r->err);
	return r->sent[c->index];
}

bool record_may_write_label(const struct column *c, const json_t *v, const char *pointer, struct err *err)
{
	for (size_t i = 0; json_is_string(v) && i < json_array_size(c->retired_labels); i++)
		if (json_equal(v, json_array_get(c->retired_labels, i)))
			return err_set_at(err, ERR_INVALID_VALUE, pointer,
					  "this label of column \"%.*s\" is retired: it is read, and no longer written",
					  STR_FMT(c->name));
	return true;
}

/* Pointers are only made for faults: a bulk of records has many columns. */
static bool take_member(const struct record *r, const struct column *c, const json_t *v)
{
	if (!may_write(r, c))
		return take_only_read(r, c, v);
	if (json_is_null(v)) {
		if ((c->autoincrement || (c->primary_key && c->fill.database_default)) &&
		    (r->how & RECORD_PARTIAL) == 0)
			return true;
		if (!c->nullable || c->primary_key)
			return query_not_null(r->err, column_pointer(r, c), r->model, c);
	}
	if (c->retired_labels != NULL && !record_may_write_label(c, v, column_pointer(r, c), r->err))
		return false;
	if (!codec_bind(r->arena, r->dialect, c, v, "", &r->values[c->index], r->err))
		return take_stored(r, c, v);
	r->given[c->index] = r->sent[c->index] = true;
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

bool record_now(struct arena *a, const struct dialect *d, const struct column *c, struct value *ret, struct err *err)
{
	char now[CLOCK_RFC3339_BYTES]; /* 2026-01-02T03:04:05.678Z */
	struct str s;

	clock_rfc3339(clock_real_us(), now);
	s = str_z(now);
	if (c->logical == LT_DATE)
		s = str_n(now, 10);
	else if (c->logical == LT_TIME)
		s = str_n(now + 11, s.len - 12);
	return codec_bind_text(a, d, c, s, "", ret, err);
}

/* A new UUID, version 4. */
static bool take_uuid(const struct record *r, const struct column *c)
{
	uint8_t bits[16];
	char hex[33];

	num_random(bits, sizeof(bits));
	bits[6] = (uint8_t)((bits[6] & 0x0f) | 0x40);
	bits[8] = (uint8_t)((bits[8] & 0x3f) | 0x80);
	num_hex(bits, sizeof(bits), hex);
	r->given[c->index] = true;
	return codec_bind_text(
		r->arena, r->dialect, c,
		arena_printf(r->arena, "%.8s-%.4s-%.4s-%.4s-%.12s", hex, hex + 8, hex + 12, hex + 16, hex + 20), "",
		&r->values[c->index], r->err);
}

/* What binding says against a default is of no account: r->err only counts when false is returned. */
static bool take_default(const struct record *r, const struct column *c)
{
	bool ok;

	if (c->fill.now_on_create || c->fill.now_on_update) {
		r->given[c->index] = true;
		return record_now(r->arena, r->dialect, c, &r->values[c->index], r->err);
	}
	if (c->random_uuid)
		return take_uuid(r, c);
	if (c->fill.read_only || c->fill.database_default)
		return true;
	if (c->fill.lock_version && c->default_value == NULL) {
		r->values[c->index] = value_int(0);
		r->given[c->index] = true;
		return true;
	}
	if (c->default_value == NULL || json_is_null(c->default_value)) {
		if (c->autoincrement || (c->nullable && !c->primary_key))
			return true;
		return query_not_null(r->err, column_pointer(r, c), r->model, c);
	}
	if (says_now(c))
		ok = record_now(r->arena, r->dialect, c, &r->values[c->index], r->err);
	else
		ok = codec_bind(r->arena, r->dialect, c, c->default_value, "", &r->values[c->index], r->err);
	r->given[c->index] = ok; /* what the column cannot hold must be an expression of the database's own */
	return true;
}

bool record_from_json(struct arena *a, const struct dialect *d, const struct model *m, const json_t *obj,
		      const char *pointer, unsigned how, struct record_row *ret, struct err *err)
{
	struct record r = {.arena = a, .dialect = d, .model = m, .pointer = pointer, .how = how, .err = err};
	const char *key;
	json_t *v;

	if (!json_is_object(obj))
		return err_set_at(err, ERR_INVALID_REQUEST, pointer, "a record is an object, not %s",
				  json_type_name(obj));
	r.values = arena_array(a, m->n_columns, sizeof(*r.values));
	r.given = arena_array(a, 2 * m->n_columns, sizeof(*r.given));
	r.sent = r.given + m->n_columns;
	json_object_foreach((json_t *)(uintptr_t)obj, key, v)
	{
		const struct column *c = model_column(m, str_z(key));

		if (c == NULL)
			return query_unknown_column(err, json_pointer_key(a, pointer, str_z(key)), m, str_z(key));
		if (!take_member(&r, c, v))
			return false;
	}
	for (size_t i = 0; i < m->n_columns && (how & RECORD_PARTIAL) == 0; i++)
		if (!r.given[i] && !r.sent[i] && !take_default(&r, &m->columns[i]))
			return false;
	*ret = (struct record_row){.values = r.values, .given = r.given, .sent = r.sent};
	return true;
}

bool record_no_identity(struct arena *a, const struct model *m, const struct record_row *row, const char *pointer,
			struct err *err)
{
	for (size_t i = 0; i < m->n_columns; i++)
		if (row->given[i] && m->columns[i].fill.generated == GENERATED_IDENTITY_ALWAYS)
			return only_read(a, pointer, &m->columns[i], err);
	return true;
}

/* false: anything out of the ordinary. */
static bool take_scalar(const struct record *r, const struct column *c, const struct json_scalar *v)
{
	if (r->given[c->index] || column_only_read(c))
		return false;
	r->given[c->index] = r->sent[c->index] = true;
	if (v->kind == JSON_SCALAR_NULL) {
		r->values[c->index] = value_null();
		return c->nullable && !c->primary_key && !c->autoincrement; /* a key's null means absent */
	}
	return codec_bind_scalar(r->arena, r->dialect, c, v, &r->values[c->index]);
}

/* Members mostly follow each other as the columns do, some left out: those from i on are looked at first. */
static const struct column *column_from(const struct model *m, size_t i, struct str name)
{
	for (size_t n = 0; n < 2 && i + n < m->n_columns; n++)
		if (str_eq(m->columns[i + n].name, name))
			return &m->columns[i + n];
	return model_column(m, name);
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
	size_t next = 0;

	r.values = arena_array(a, m->n_columns, sizeof(*r.values));
	r.given = arena_array(a, 2 * m->n_columns, sizeof(*r.given));
	r.sent = r.given + m->n_columns;
	json_flat_init(&f, arena_strz(a, text), text.len);
	while ((got = json_flat_next(&f, &name, &v)) == JSON_FLAT_MEMBER) {
		const struct column *c = column_from(m, next, name);

		if (c == NULL || !take_scalar(&r, c, &v))
			return false;
		next = c->index + 1;
	}
	if (got != JSON_FLAT_END)
		return false;
	for (size_t i = 0; i < m->n_columns; i++)
		if (!r.given[i] && !r.sent[i] && !take_default(&r, &m->columns[i]))
			return false;
	*ret = (struct record_row){.values = r.values, .given = r.given, .sent = r.sent};
	return true;
}
