/* How a column's type is spelled: one row a storage type (reference 6.1). */
#include "store/ddl/ddl.h"

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
	if (c->storage == ST_UNRESOLVED)
		return err_set(err, ERR_INVALID_SCHEMA,
			       "unresolvable type on column \"%.*s\": unknown logical_type \"%.*s\"; give a db_type",
			       STR_FMT(c->name), STR_FMT(c->logical_word));
	put_spelling(c, d->id == DIALECT_SQLITE ? spellings[c->storage].sqlite : spellings[c->storage].postgres, out);
	return true;
}

void ddl_alter_type(const struct column *c, struct strbuf *out)
{
	if (c->postgres_native_enum)
		dialect_quote_ident(out, c->enum_type_name);
	else if (c->storage != ST_UNRESOLVED)
		put_spelling(c, spellings[c->storage].alter, out);
}
