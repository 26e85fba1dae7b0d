/* Names and types of raw answers. */
#include "handlers/answer/raw_columns.h"

#include <stdio.h>

#include "service/base/map.h"
#include "service/base/num.h"

#include "service/base/banned.h"

/* PostgreSQL's own types (pg_type.dat): their numbers are the same in every database and never change. */
static const struct {
	unsigned oid, array;
	const char *name;
} types[] = {
	{16, 1000, "boolean"},
	{17, 1001, "bytea"},
	{18, 1002, "\"char\""},
	{19, 1003, "name"},
	{20, 1016, "bigint"},
	{21, 1005, "smallint"},
	{23, 1007, "integer"},
	{25, 1009, "text"},
	{26, 1028, "oid"},
	{114, 199, "json"},
	{142, 143, "xml"},
	{600, 1017, "point"},
	{650, 651, "cidr"},
	{700, 1021, "real"},
	{701, 1022, "double precision"},
	{790, 791, "money"},
	{829, 1040, "macaddr"},
	{869, 1041, "inet"},
	{1042, 1014, "character"},
	{1043, 1015, "character varying"},
	{1082, 1182, "date"},
	{1083, 1183, "time without time zone"},
	{1114, 1115, "timestamp without time zone"},
	{1184, 1185, "timestamp with time zone"},
	{1186, 1187, "interval"},
	{1266, 1270, "time with time zone"},
	{1560, 1561, "bit"},
	{1562, 1563, "bit varying"},
	{1700, 1231, "numeric"},
	{2950, 2951, "uuid"},
	{3220, 3221, "pg_lsn"},
	{3614, 3643, "tsvector"},
	{3615, 3645, "tsquery"},
	{3802, 3807, "jsonb"},
	{3904, 3905, "int4range"},
	{3906, 3907, "numrange"},
	{3908, 3909, "tsrange"},
	{3910, 3911, "tstzrange"},
	{3912, 3913, "daterange"},
	{3926, 3927, "int8range"},
};

bool raw_columns_distinct(const struct cursor_column *columns, size_t n, struct err *err)
{
	struct strbuf twice;
	struct map seen;
	bool ok = true;
	map_init(&seen);
	strbuf_init(&twice, sizeof(err->detail));
	for (size_t i = 0; i < n; i++) {
		const void *before = map_put(&seen, columns[i].name, (void *)(uintptr_t)&columns[i]);
		ok = ok && before == NULL;
		if (before != NULL && twice.len + columns[i].name.len < 200)
			strbuf_printf(&twice, "%s\"%.*s\"", twice.len > 0 ? ", " : "", STR_FMT(columns[i].name));
	}
	map_done(&seen);
	if (!ok)
		(void)err_set(err, ERR_DUPLICATE_COLUMNS,
			      "more than one column is named %.*s: name them apart, or ask for Prefer: rows=arrays",
			      STR_FMT(strbuf_str(&twice)));
	strbuf_done(&twice);
	return ok;
}

static void write_type(struct strbuf *out, const struct cursor_column *c)
{
	for (size_t i = 0; c->type_oid != 0 && i < ARRAY_LEN(types); i++) {
		if (types[i].oid != c->type_oid && types[i].array != c->type_oid)
			continue;
		struct strbuf name;
		strbuf_init(&name, 0);
		strbuf_printf(&name, "%s%s", types[i].name, types[i].array == c->type_oid ? "[]" : "");
		strbuf_json_string(out, strbuf_str(&name));
		strbuf_done(&name);
		return;
	}
	if (c->type_oid != 0) /* of somebody's making: its number is what the answer itself tells */
		strbuf_printf(out, "\"oid %u\"", c->type_oid);
	else if (c->type.p != NULL)
		strbuf_json_string(out, c->type);
	else
		strbuf_puts(out, "null");
}

void raw_columns_write(struct strbuf *out, const struct cursor_column *columns, size_t n)
{
	strbuf_putc(out, '[');
	for (size_t i = 0; i < n; i++) {
		strbuf_puts(out, i > 0 ? ",{\"name\":" : "{\"name\":");
		strbuf_json_string(out, columns[i].name);
		strbuf_puts(out, ",\"type\":");
		write_type(out, &columns[i]);
		strbuf_putc(out, '}');
	}
	strbuf_putc(out, ']');
}
