/* Texts read as values of other types. PostgreSQL ends a statement at a text that is none: each is looked at before. */
#include "store/codec/codec_respell.h"
#include "store/query/query_sql.h"

#include "service/base/banned.h"

#define YEARS "(?!0000)[0-9]{4}"
#define LEAP_YEARS "(?!0000)([0-9]{2}(0[48]|[2468][048]|[13579][26])|([02468][048]|[13579][26])00)"
#define DAYS \
	"(" YEARS "-((0[13578]|1[02])-(0[1-9]|[12][0-9]|3[01])|(0[469]|11)-(0[1-9]|[12][0-9]|30)|" \
	"02-(0[1-9]|1[0-9]|2[0-8]))|" LEAP_YEARS "-02-29)"
#define CLOCK "([01][0-9]|2[0-3]):[0-5][0-9]"
#define FRACTION "(\\.[0-9]{1,6}0{0,3})?"
#define ZONE "([Zz]|[+-](0[0-9]|1[0-5])(:[0-5][0-9])?)?"
#define DIGITS "([0-9]{1,250}(\\.[0-9]{0,250})?|\\.[0-9]{1,250})"

/* What a text of the type is like; NULL: none is looked at. */
static const char *pattern(const struct column *c)
{
	switch (c->logical) {
	case LT_DECIMAL:
		return "^[+-]?" DIGITS "([eE][+-]?[0-9]{1,3})?$";
	case LT_BOOLEAN:
		return "^([tT]([rR][uU][eE])?|[fF]([aA][lL][sS][eE])?|[01])$";
	case LT_UUID:
		return "^([0-9a-fA-F]{32}|[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12})$";
	case LT_DATETIME:
		return "^" DAYS "[Tt ]" CLOCK ":[0-5][0-9]" FRACTION ZONE "$";
	case LT_DATE:
		return "^" DAYS "$";
	case LT_TIME:
		return "^" CLOCK "(:[0-5][0-9]" FRACTION ")?$";
	case LT_INTEGER:
	case LT_NUMBER:
	case LT_STRING:
	case LT_BINARY:
	case LT_JSON:
	case LT_UNKNOWN:
		break;
	}
	return NULL;
}

void sql_read_before(struct sql *s, const struct column *type)
{
	const bool naive = type->logical == LT_DATETIME && type->storage == ST_TIMESTAMP;

	if (!sql_on_postgres(s)) {
		sql_put(s, "ferro_read(");
		return;
	}
	sql_put(s, "(SELECT CASE WHEN \"v\" ~ '");
	sql_put(s, pattern(type));
	sql_put(s, "' THEN CAST(\"v\" AS ");
	if (naive)
		sql_put(s, "timestamptz) AT TIME ZONE 'UTC'");
	else
		sql_type(s, type);
	sql_put(s, naive ? " END FROM (SELECT CAST(" : ") END FROM (SELECT CAST(");
}

void sql_read_after(struct sql *s, const struct column *type)
{
	if (sql_on_postgres(s))
		sql_put(s, " AS text) AS \"v\") AS \"ferro_v\")");
	else
		sql_put(s, arena_printf(s->arena, ", %d)", codec_spelling_code(type)).p);
}
