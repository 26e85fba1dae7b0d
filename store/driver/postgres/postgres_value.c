/*
 * Values to and from the wire. Everything travels as text but bytes, which go out in binary; what comes back is told
 * apart by its type's OID. A type that is not listed is its text: numeric, uuid, temporal values, arrays, ranges,
 * enums. What comes back is never trusted: see postgres_answer.c.
 */
#include "store/driver/postgres/postgres_driver.h"

#include <math.h>

#include "service/base/limits.h"
#include "service/base/mem.h"
#include "service/base/num.h"

#include "service/base/banned.h"

/* src/include/catalog/pg_type.dat: fixed for ever. */
enum {
	OID_BOOL = 16,
	OID_BYTEA = 17,
	OID_INT8 = 20,
	OID_INT2 = 21,
	OID_INT4 = 23,
	OID_OID = 26,
	OID_JSON = 114,
	OID_FLOAT4 = 700,
	OID_FLOAT8 = 701,
	OID_NUMERIC = 1700,
	OID_JSONB = 3802
};

static Oid param_type(const struct stmt *s, size_t i)
{
	const enum value_kind kind = s->params[i].kind;

	if (kind == VALUE_BYTES)
		return OID_BYTEA;
	if (s->param_type == STMT_PARAM_INFER)
		return 0;
	if (s->params[i].number)
		return OID_NUMERIC;
	switch (kind) {
	case VALUE_BOOL:
		return OID_BOOL;
	case VALUE_INT:
		return OID_INT8;
	case VALUE_DOUBLE:
		return OID_FLOAT8;
	case VALUE_NULL:
	case VALUE_TEXT:
	case VALUE_BYTES:
	case VALUE_JSON:
		break;
	}
	return 0;
}

char pg_param_letter(const struct stmt *s, size_t i)
{
	switch (param_type(s, i)) {
	case OID_BOOL:
		return 'b';
	case OID_INT8:
		return 'i';
	case OID_FLOAT8:
		return 'd';
	case OID_BYTEA:
		return 'x';
	case OID_NUMERIC:
		return 'n';
	default:
		return '-';
	}
}

/* Bytes of the parameter's text with its NUL; 0 when it needs none. */
static size_t text_bytes(const struct value *v)
{
	switch (v->kind) {
	case VALUE_INT:
		return 24;
	case VALUE_DOUBLE:
		return NUM_DOUBLE_BYTES;
	case VALUE_TEXT:
	case VALUE_JSON:
		return v->u.s.len + 1;
	case VALUE_NULL:
	case VALUE_BOOL:
	case VALUE_BYTES:
		break;
	}
	return 0;
}

void pg_put_double(double d, char *out)
{
	const char *special = isnan(d) ? "NaN" : d > 0 ? "Infinity" : "-Infinity";

	if (isfinite(d))
		(void)num_format_double(d, out);
	else
		memcpy(out, special, strlen(special) + 1);
}

/* Sets entry i; its text, if any, goes to *out, which moves on. */
static void set_param(struct pg_params *p, const struct stmt *s, size_t i, char **out)
{
	const struct value *v = &s->params[i];

	p->types[i] = param_type(s, i);
	p->formats[i] = v->kind == VALUE_BYTES;
	p->lengths[i] = 0;
	p->values[i] = *out;
	switch (v->kind) {
	case VALUE_NULL:
		p->values[i] = NULL;
		break;
	case VALUE_BOOL:
		p->values[i] = v->u.b ? "t" : "f";
		break;
	case VALUE_INT:
		(void)num_format_int(v->u.i, *out);
		break;
	case VALUE_DOUBLE:
		pg_put_double(v->u.d, *out);
		break;
	case VALUE_TEXT:
	case VALUE_JSON:
		if (v->u.s.len > 0)
			memcpy(*out, v->u.s.p, v->u.s.len);
		(*out)[v->u.s.len] = '\0';
		break;
	case VALUE_BYTES:
		p->values[i] = v->u.s.p != NULL ? v->u.s.p : "";
		p->lengths[i] = (int)v->u.s.len;
		break;
	}
	*out += text_bytes(v);
}

static void grow(struct pg_params *p, size_t n)
{
	if (n <= p->size)
		return;
	p->types = mem_realloc(p->types, n * sizeof(*p->types));
	p->values = mem_realloc(p->values, n * sizeof(*p->values));
	p->lengths = mem_realloc(p->lengths, n * sizeof(*p->lengths));
	p->formats = mem_realloc(p->formats, n * sizeof(*p->formats));
	p->size = n;
}

static bool check_param(const struct stmt *s, size_t i, struct err *err)
{
	const struct value *v = &s->params[i];
	const enum err_code code = s->raw ? ERR_INVALID_PARAMETERS : ERR_INVALID_VALUE;

	if (v->kind != VALUE_TEXT && v->kind != VALUE_JSON && v->kind != VALUE_BYTES)
		return true;
	if (v->u.s.len > 1024UL * 1024 * 1024 - 1024)
		return err_set(err, code, "parameter %zu is larger than PostgreSQL can store", i + 1);
	if (v->kind != VALUE_BYTES && v->u.s.len > 0 && memchr(v->u.s.p, '\0', v->u.s.len) != NULL)
		return err_set(err, code,
			       "parameter %zu holds the character U+0000, which PostgreSQL cannot store in text",
			       i + 1);
	return true;
}

bool pg_params_set(struct pg_params *p, const struct stmt *s, struct err *err)
{
	size_t bytes = 1;
	char *out;

	if (s->n_params > LIMIT_SQL_PARAMS_PG)
		return err_set(err, ERR_INVALID_PARAMETERS, "PostgreSQL takes at most %d parameters, not %zu",
			       LIMIT_SQL_PARAMS_PG, s->n_params);
	for (size_t i = 0; i < s->n_params; i++) {
		if (!check_param(s, i, err))
			return false;
		bytes += text_bytes(&s->params[i]);
	}
	grow(p, s->n_params);
	if (bytes > p->text_size) {
		/* nothing in it is worth copying */
		mem_free(p->text);
		p->text_size = 0;
		p->text = mem_try(NULL, bytes);
		if (p->text == NULL)
			return err_oom(err);
		p->text_size = bytes;
	}
	out = p->text;
	for (size_t i = 0; i < s->n_params; i++)
		set_param(p, s, i, &out);
	p->n = s->n_params;
	return true;
}

void pg_params_done(struct pg_params *p)
{
	mem_free(p->types);
	mem_free(p->values);
	mem_free(p->lengths);
	mem_free(p->formats);
	mem_free(p->text);
	memset(p, 0, sizeof(*p));
}

enum pg_cell pg_cell_of(Oid type)
{
	switch (type) {
	case OID_BOOL:
		return PG_CELL_BOOL;
	case OID_INT2:
	case OID_INT4:
	case OID_INT8:
	case OID_OID:
		return PG_CELL_INT;
	case OID_FLOAT4:
	case OID_FLOAT8:
		return PG_CELL_DOUBLE;
	case OID_BYTEA:
		return PG_CELL_BYTES;
	case OID_JSON:
	case OID_JSONB:
		return PG_CELL_JSON;
	default:
		return PG_CELL_TEXT;
	}
}
