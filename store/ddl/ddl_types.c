/* How a column's type is spelled: one row a storage type (reference 6.1). */
#include "store/ddl/ddl.h"

#include "service/base/num.h"
#include "store/schema/schema_sql.h"

#include "service/base/banned.h"

static const struct {
	const char *sqlite, *postgres, *alter;
	bool sized; /* "(N)" follows when the column has a length */
} spellings[] = {
	[ST_SMALLINT] = {"smallint", "smallint", "smallint", false},
	[ST_INT] = {"integer", "integer", "integer", false},
	[ST_BIGINT] = {"bigint", "bigint", "bigint", false},
	[ST_DOUBLE] = {"double", "double precision", "double precision", false},
	[ST_NUMERIC] = {"real", "decimal", "numeric", false},
	[ST_BOOLEAN] = {"integer", "bool", "boolean", false},
	[ST_JSON] = {"json_text", "json", "json", false},
	[ST_JSONB] = {"json_text", "jsonb", "jsonb", false},
	[ST_TEXT] = {"text", "text", "text", false},
	[ST_VARCHAR] = {"varchar", "varchar", "varchar", true},
	[ST_CHAR] = {"char", "char", "char", true},
	[ST_UUID] = {"char(32)", "uuid", "uuid", false},
	[ST_UUID_LOGICAL] = {"uuid_text", "uuid", "uuid", false},
	[ST_TIMESTAMP] = {"datetime_text", "timestamp", "timestamp", false},
	[ST_TIMESTAMPTZ] = {"datetime_text", "timestamp with time zone", "timestamptz", false},
	[ST_DATETIME_LOGICAL] = {"timestamp_with_timezone_text", "timestamp with time zone", "timestamptz", false},
	[ST_DATE] = {"date_text", "date", "date", false},
	[ST_TIME] = {"time_text", "time", "time", false},
	[ST_TIME_LOGICAL] = {"varchar", "varchar", "varchar", false},
	[ST_BYTEA] = {"blob", "bytea", "bytea", false},
	[ST_UNRESOLVED] = {NULL, NULL, NULL, false},
};

bool ddl_numeric_places(struct str type, int64_t *ret_digits, int64_t *ret_places)
{
	struct str word, rest = type, digits, places;

	*ret_places = 0;
	if (!str_split(&rest, '(', &word) || rest.p == NULL || rest.len == 0 || rest.p[rest.len - 1] != ')')
		return false;
	word = str_trim(word);
	if (!str_ieq_z(word, "numeric") && !str_ieq_z(word, "decimal"))
		return false;
	places = str_n(rest.p, rest.len - 1);
	(void)str_split(&places, ',', &digits);
	return num_parse_int(str_trim(digits), ret_digits) && *ret_digits > 0 &&
	       (places.p == NULL || num_parse_int(str_trim(places), ret_places));
}

#define TIME_PLACES 6

int64_t ddl_time_places(struct str type)
{
	struct str head, places, rest = type;
	int64_t n;

	if (type.p == NULL || !str_split(&rest, '(', &head) || rest.p == NULL || !str_split(&rest, ')', &places) ||
	    rest.p == NULL || !num_parse_int(str_trim(places), &n) || n < 0 || n > TIME_PLACES)
		return TIME_PLACES;
	return n;
}

/* A time of PostgreSQL's, where the model says how exact. */
static bool put_time(const struct column *c, struct strbuf *out)
{
	const bool of_day = c->storage == ST_TIME;
	const int64_t places = ddl_time_places(c->db_type);

	if ((!of_day && c->storage != ST_TIMESTAMP && c->storage != ST_TIMESTAMPTZ) || places == TIME_PLACES)
		return false;
	strbuf_printf(out, "%s(%lld)%s", of_day ? "time" : "timestamp", (long long)places,
		      c->storage == ST_TIMESTAMPTZ ? " with time zone" : "");
	return true;
}

/* PostgreSQL's numeric with its digits and places, where the model says how many. */
static bool put_numeric(const struct column *c, struct strbuf *out)
{
	int64_t digits, places;

	if (c->storage != ST_NUMERIC || c->db_type.p == NULL || !ddl_numeric_places(c->db_type, &digits, &places))
		return false;
	strbuf_printf(out, "numeric(%lld,%lld)", (long long)digits, (long long)places);
	return true;
}

bool ddl_single_precision(struct str type)
{
	type = str_trim(type);
	return str_ieq_z(type, "real") || str_ieq_z(type, "float4");
}

static bool put_real(const struct column *c, struct strbuf *out)
{
	if (c->storage != ST_DOUBLE || c->db_type.p == NULL || !ddl_single_precision(c->db_type))
		return false;
	strbuf_puts(out, "real");
	return true;
}

/* PostgreSQL's types that say how much they hold. */
static bool put_exact(const struct column *c, struct strbuf *out)
{
	return put_numeric(c, out) || put_time(c, out) || put_real(c, out);
}

static void put_spelling(const struct column *c, const char *word, struct strbuf *out)
{
	strbuf_puts(out, word);
	if (spellings[c->storage].sized && c->length > 0)
		strbuf_printf(out, "(%lld)", (long long)c->length);
}

bool ddl_column_type(const struct dialect *d, const struct column *c, struct strbuf *out, struct err *err)
{
	if (d->id == DIALECT_POSTGRES && c->postgres_native_enum) {
		dialect_quote_ident(out, c->enum_type_name);
		return true;
	}
	if (d->id == DIALECT_POSTGRES && c->own_type) {
		strbuf_put(out, c->db_type);
		return true;
	}
	/* SQLite has no such types: what is written as a text or a number is kept as that */
	if (c->own_type && c->storage == ST_UNRESOLVED && c->logical != LT_UNKNOWN) {
		strbuf_puts(out, c->logical == LT_INTEGER ? "bigint" : "varchar");
		return true;
	}
	if (c->storage == ST_UNRESOLVED)
		return err_set(err, ERR_INVALID_SCHEMA,
			       "unresolvable type on column \"%.*s\": unknown logical_type \"%.*s\"; give a db_type",
			       STR_FMT(c->name), STR_FMT(c->logical_word));
	if (d->id == DIALECT_POSTGRES && put_exact(c, out))
		return true;
	put_spelling(c, d->id == DIALECT_SQLITE ? spellings[c->storage].sqlite : spellings[c->storage].postgres, out);
	return true;
}

bool ddl_column_serial(const struct model *m, const struct column *c)
{
	if (c->fill.generated != GENERATED_NOT || c->sequence.p != NULL)
		return false;
	return c->autoincrement || (c->fill.default_sql.p != NULL && c->logical == LT_INTEGER &&
				    schema_sql_serial(c->fill.default_sql, m->table, c->name));
}

bool ddl_column_fill(const struct dialect *d, const struct model *m, const struct column *c, struct strbuf *out,
		     struct err *err)
{
	const struct column_fill *f = &c->fill;
	const bool identity = f->generated == GENERATED_IDENTITY || f->generated == GENERATED_IDENTITY_ALWAYS;
	const char *why;

	if (identity) {
		if (d->id == DIALECT_POSTGRES)
			strbuf_puts(out, f->generated == GENERATED_IDENTITY ? " GENERATED BY DEFAULT AS IDENTITY"
									    : " GENERATED ALWAYS AS IDENTITY");
		return true;
	}
	/* what nextval means on SQLite, a counting key has by itself, and other columns cannot */
	if (f->default_sql.p == NULL || ddl_column_serial(m, c))
		return true;
	if (!schema_sql_expression(d->id, f->default_sql, &why))
		return err_set(err, ERR_INVALID_SCHEMA,
			       "the \"default_sql\" of column \"%.*s\" is no expression of %s: %s", STR_FMT(c->name),
			       d->name, why);
	strbuf_puts(out, f->generated == GENERATED_ALWAYS ? " GENERATED ALWAYS AS (" : " DEFAULT (");
	strbuf_put(out, f->default_sql);
	strbuf_putc(out, ')');
	if (f->generated == GENERATED_ALWAYS)
		strbuf_puts(out, f->computed_on_read ? " VIRTUAL" : " STORED");
	return true;
}

void ddl_alter_type(const struct column *c, struct strbuf *out)
{
	if (c->postgres_native_enum)
		dialect_quote_ident(out, c->enum_type_name);
	else if (c->own_type)
		strbuf_put(out, c->db_type);
	else if (c->storage != ST_UNRESOLVED && !put_exact(c, out))
		put_spelling(c, spellings[c->storage].alter, out);
}
