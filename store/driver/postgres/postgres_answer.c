/*
 * The one reader of what a server answers. Nothing of it is believed: not the number of columns, nor that a boolean is
 * one, that text is UTF-8 or that json is JSON; whatever is at the other end of the connection may be broken or
 * hostile. A value that leaves this file is sound by its kind, and json can stand inside an answer as it is. What does
 * not fit is an internal error, and the connection is used no more.
 */
#include "service/base/num.h"
#include "service/base/wait.h"
#include "store/codec/json_text.h"
#include "store/driver/postgres/postgres_driver.h"

#include "service/base/banned.h"

bool pg_fail_answer(struct pg_conn *c, const char *what, bool autocommit, struct err *err)
{
	c->base.broken = true;
	(void)err_set(err, ERR_INTERNAL_ERROR, "the database answered what cannot be: %s", what);
	err->outcome = autocommit ? ERR_OUTCOME_UNKNOWN : ERR_OUTCOME_NONE;
	return false;
}

/* ---- columns ---- */

const char *pg_columns_fault(const PGresult *res, size_t n_expected, bool names)
{
	const int n = PQnfields(res);

	if (n_expected != 0 && (size_t)n != n_expected)
		return "rows with another number of columns than were asked for";
	for (int i = 0; i < n; i++) {
		if (PQfformat(res, i) != 0)
			return "a column in binary";
		if (names && !str_is_utf8(str_z(PQfname(res, i))))
			return "a column whose name is not UTF-8";
	}
	return NULL;
}

/* ---- bytea ---- */

/* At byte i of a value, which may be a large one. */
static inline void may_step(size_t i)
{
	if (i % VALUE_PART_BYTES == VALUE_PART_BYTES - 1)
		wait_may_step_aside();
}

static bool is_octal(char c)
{
	return c >= '0' && c <= '7';
}

static bool is_hex(char c)
{
	return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

static bool bytea_hex(struct str s)
{
	return s.len >= 2 && s.p[0] == '\\' && s.p[1] == 'x';
}

/* One of bytea's two output forms (PostgreSQL documentation, "Binary Data Types")? */
static bool bytea_valid(struct str s)
{
	if (bytea_hex(s)) {
		for (size_t i = 2; i < s.len; i++) {
			may_step(i);
			if (!is_hex(s.p[i]))
				return false;
		}
		return s.len % 2 == 0;
	}
	for (size_t i = 0; i < s.len; i++) {
		may_step(i);
		if (s.p[i] != '\\')
			continue;
		if (i + 1 < s.len && s.p[i + 1] == '\\')
			i++;
		else if (i + 3 < s.len && s.p[i + 1] <= '3' && is_octal(s.p[i + 1]) && is_octal(s.p[i + 2]) &&
			 is_octal(s.p[i + 3]))
			i += 3;
		else
			return false;
	}
	return true;
}

static unsigned hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return (unsigned)(c - '0');
	return (unsigned)((c | 0x20) - 'a' + 10) & 15;
}

/* Decodes a valid one over its own text, which only shrinks. A client may have chosen "escape" inside its transaction.
 */
static struct str decode_bytea(char *text, size_t len)
{
	size_t n = 0;

	if (bytea_hex(str_n(text, len))) {
		for (size_t i = 2; i + 1 < len; i += 2) {
			may_step(i + 1);
			text[n++] = (char)(hex_digit(text[i]) << 4 | hex_digit(text[i + 1]));
		}
		return str_n(text, n);
	}
	for (size_t i = 0; i < len; i++) {
		may_step(i);
		if (text[i] != '\\') {
			text[n++] = text[i];
		} else if (text[i + 1] == '\\') {
			text[n++] = '\\';
			i++;
		} else {
			text[n++] = (char)((hex_digit(text[i + 1]) << 6 | hex_digit(text[i + 2]) << 3 |
					    hex_digit(text[i + 3])) &
					   255);
			i += 3;
		}
	}
	return str_n(text, n);
}

/* ---- cells ---- */

static bool read_bool(struct str s, struct value *ret)
{
	if (s.len != 1 || (s.p[0] != 't' && s.p[0] != 'f'))
		return false;
	value_set_bool(ret, s.p[0] == 't');
	return true;
}

static bool read_int(struct str s, struct value *ret)
{
	int64_t i;

	if (!num_parse_int(s, &i))
		return false;
	value_set_int(ret, i);
	return true;
}

/* What is no finite number stays a word. */
static bool read_double(struct str s, struct value *ret)
{
	double d;

	if (num_parse_double(s, &d))
		value_set_double(ret, d);
	else if (str_eq(s, STR("NaN")) || str_eq(s, STR("Infinity")) || str_eq(s, STR("-Infinity")))
		value_set_str(ret, VALUE_TEXT, s.p, s.len);
	else
		return false;
	return true;
}

/* Of a document that is nested deeper than an answer's may be only the text is told. */
static bool read_json(struct str s, struct value *ret)
{
	const enum json_text kind = json_text_check(s);

	*ret = kind == JSON_TEXT_VALID ? value_json(s) : value_text(s);
	return kind == JSON_TEXT_VALID || (kind == JSON_TEXT_TOO_DEEP && value_is_utf8(s));
}

/* Bytes are left as their text. */
static bool read_cell(struct str s, enum pg_cell cell, struct value *ret)
{
	switch (cell) {
	case PG_CELL_BOOL:
		return read_bool(s, ret);
	case PG_CELL_INT:
		return read_int(s, ret);
	case PG_CELL_DOUBLE:
		return read_double(s, ret);
	case PG_CELL_JSON:
		return read_json(s, ret);
	case PG_CELL_BYTES:
		value_set_str(ret, VALUE_BYTES, s.p, s.len);
		return bytea_valid(s);
	case PG_CELL_TEXT:
		break;
	}
	value_set_str(ret, VALUE_TEXT, s.p, s.len);
	return value_is_utf8(s);
}

/* A number as it mostly is: short, and up to its NUL, which libpq puts behind each value; a null's is "". How many
 * bytes it has; 0: this is none. */
static inline size_t read_short(const char *z, enum pg_cell cell, struct value *ret)
{
	size_t n = 0;
	int64_t i;
	double d;

	if (cell == PG_CELL_INT && (n = num_parse_short_int(z, &i)) > 0)
		value_set_int(ret, i);
	else if (cell == PG_CELL_DOUBLE && (n = num_parse_short_double(z, &d)) > 0)
		value_set_double(ret, d);
	return n;
}

static bool read_long(char *text, size_t len, enum pg_cell cell, struct value *ret)
{
	if (!read_cell(str_n(text, len), cell, ret))
		return false;
	if (cell == PG_CELL_BYTES)
		*ret = value_bytes(decode_bytea(text, ret->u.s.len));
	return true;
}

bool pg_cell_value(PGresult *res, int row, int column, enum pg_cell cell, struct value *ret)
{
	char *text = PQgetvalue(res, row, column);
	const size_t n = read_short(text, cell, ret);
	const int len = PQgetlength(res, row, column);

	if (n > 0)
		return n == (size_t)len;                 /* or there is more behind a NUL */
	if (len == 0 && PQgetisnull(res, row, column)) { /* a null has no length */
		value_set_null(ret);
		return true;
	}
	return read_long(text, (size_t)len, cell, ret);
}

/* One DataRow between p and end, where a byte follows. A cell ends in a NUL while it is read: the byte there is the
 * next one's. */
static bool read_row(char *p, char *end, const struct pg_shape *shape, struct value *ret)
{
	for (size_t i = 0; i < shape->n; i++, ret++) {
		if (end - p < 4)
			return false;
		const uint32_t len = pg_get_int(p);
		p += 4;
		if (len == UINT32_MAX) {
			value_set_null(ret);
			continue;
		}
		if (len > (size_t)(end - p))
			return false;
		const char kept = p[len];
		p[len] = '\0';
		const size_t n = read_short(p, shape->cells[i], ret);
		const bool ok = n > 0 ? n == len : read_long(p, len, shape->cells[i], ret);
		p[len] = kept;
		if (!ok)
			return false;
		p += len;
	}
	return p == end;
}

const char *pg_cells_read(char *rows, size_t n_rows, const struct pg_shape *shape, struct value *ret)
{
	for (; n_rows > 0; n_rows--, ret += shape->n) {
		char *const end = rows + 1 + pg_get_int(rows + 1);

		if (!read_row(rows + PG_HEAD_BYTES + 2, end, shape, ret))
			return "a value that is none of its type";
		rows = end;
	}
	return NULL;
}

const char *pg_rows_read(PGresult *res, struct value *ret)
{
	const int n_rows = PQntuples(res), n = PQnfields(res);

	for (int i = 0; i < n; i++) {
		const enum pg_cell cell = pg_cell_of(PQftype(res, i));

		for (int row = 0; row < n_rows; row++)
			if (!pg_cell_value(res, row, i, cell, &ret[(size_t)row * (size_t)n + (size_t)i]))
				return "a value that is none of its type";
	}
	return NULL;
}
