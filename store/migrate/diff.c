/* Comparison of live objects with wanted ones: names, and types by vocabulary (PostgreSQL) or storage class (SQLite).
 */
#include "store/migrate/diff.h"

#include <string.h>

#include "service/base/num.h"
#include "store/ddl/ddl.h"

#include "service/base/banned.h"

static char lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

static bool eq_ignoring_case(struct str a, struct str b)
{
	if (a.len != b.len)
		return false;
	for (size_t i = 0; i < a.len; i++)
		if (lower(a.p[i]) != lower(b.p[i]))
			return false;
	return true;
}

bool live_name_eq(const struct dialect *d, struct str a, struct str b)
{
	return d->id == DIALECT_SQLITE ? eq_ignoring_case(a, b) : str_eq(a, b);
}

const struct live_table *live_find_table_at(const struct dialect *d, const struct live_schema *l,
					    struct str schema_name, struct str name)
{
	for (size_t i = 0; i < l->n_tables; i++)
		if (live_name_eq(d, l->tables[i].name, name) && str_eq(l->tables[i].schema_name, schema_name))
			return &l->tables[i];
	return NULL;
}

const struct live_table *live_find_table(const struct dialect *d, const struct live_schema *l, struct str name)
{
	return live_find_table_at(d, l, STR_NONE, name);
}

const struct live_table *live_find_model(const struct dialect *d, const struct live_schema *l, const struct model *m)
{
	return live_find_table_at(d, l, m->schema_name, m->table);
}

const struct live_column *live_find_column(const struct dialect *d, const struct live_table *t, struct str name)
{
	for (size_t i = 0; i < t->n_columns; i++)
		if (live_name_eq(d, t->columns[i].name, name))
			return &t->columns[i];
	return NULL;
}

/* ---- types ------------------------------------------------------------------------------------------- */

static bool contains(struct str s, const char *word)
{
	size_t n = strlen(word);

	for (size_t i = 0; i + n <= s.len; i++)
		if (eq_ignoring_case(str_n(s.p + i, n), str_n(word, n)))
			return true;
	return false;
}

/* The N of "(N)" in the type, 0 when there is none. */
static int64_t length_of(struct str type)
{
	struct str head, inner, rest = type;
	int64_t n = 0;

	if (!str_split(&rest, '(', &head) || rest.p == NULL || !str_split(&rest, ')', &inner))
		return 0;
	return num_parse_int(str_trim(inner), &n) && n > 0 ? n : 0;
}

/* "numeric(10,2)" -> "numeric", "timestamp(3) with time zone" -> "timestamp with time zone" */
void diff_type_word(struct str type, struct strbuf *out)
{
	bool inside = false;

	for (size_t i = 0; i < type.len; i++) {
		char c = type.p[i];

		if (c == '(')
			inside = true;
		if (!inside && !(c == ' ' && i + 1 < type.len && type.p[i + 1] == '('))
			strbuf_putc(out, lower(c));
		if (c == ')')
			inside = false;
	}
}

static bool postgres_storage(struct str type, enum storage_type *ret, int64_t *ret_length)
{
	static const struct {
		const char *word;
		enum storage_type storage;
	} words[] = {
		{"smallint", ST_SMALLINT},
		{"integer", ST_INT},
		{"bigint", ST_BIGINT},
		{"double precision", ST_DOUBLE},
		{"real", ST_DOUBLE},
		{"numeric", ST_NUMERIC},
		{"boolean", ST_BOOLEAN},
		{"json", ST_JSON},
		{"jsonb", ST_JSONB},
		{"bytea", ST_BYTEA},
		{"text", ST_TEXT},
		{"uuid", ST_UUID},
		{"date", ST_DATE},
		{"time without time zone", ST_TIME},
		{"timestamp without time zone", ST_TIMESTAMP},
		{"timestamp with time zone", ST_TIMESTAMPTZ},
		{"character varying", ST_VARCHAR},
		{"character", ST_CHAR},
	};
	char buf[64];
	struct strbuf word;
	bool found = false;

	strbuf_init(&word, sizeof(buf));
	diff_type_word(type, &word);
	for (size_t i = 0; i < ARRAY_LEN(words) && !found; i++) {
		if (!str_eq_z(strbuf_str(&word), words[i].word))
			continue;
		*ret = words[i].storage;
		*ret_length = *ret == ST_VARCHAR || *ret == ST_CHAR ? length_of(type) : 0;
		found = true;
	}
	strbuf_done(&word);
	return found;
}

/*
 * SQLite takes any word for a type; this reads those that people and tools write.
 */
static bool sqlite_storage(struct str type, enum storage_type *ret, int64_t *ret_length)
{
	static const struct {
		const char *word; /* contained */
		enum storage_type storage;
	} words[] = {
		{"uuid", ST_UUID_LOGICAL},
		{"json", ST_JSON},
		{"bool", ST_BOOLEAN},
		{"timestamptz", ST_DATETIME_LOGICAL},
		{"timestamp_with", ST_DATETIME_LOGICAL},
		{"timestamp with", ST_DATETIME_LOGICAL},
		{"datetime", ST_TIMESTAMP},
		{"timestamp", ST_TIMESTAMP},
		{"date", ST_DATE},
		{"time", ST_TIME},
		{"smallint", ST_SMALLINT},
		{"int2", ST_SMALLINT},
		{"bigint", ST_BIGINT},
		{"int8", ST_BIGINT},
		{"int", ST_INT},
		{"varchar", ST_VARCHAR},
		{"character varying", ST_VARCHAR},
		{"char", ST_CHAR},
		{"clob", ST_TEXT},
		{"text", ST_TEXT},
		{"blob", ST_BYTEA},
		{"bytea", ST_BYTEA},
		{"binary", ST_BYTEA},
		{"doub", ST_DOUBLE},
		{"floa", ST_DOUBLE},
		{"real", ST_DOUBLE},
		{"num", ST_NUMERIC},
		{"dec", ST_NUMERIC},
		{"money", ST_NUMERIC},
	};

	*ret_length = 0;
	if (str_ieq_z(type, "char(32)")) { /* whose values have the last word: live_ir.c */
		*ret = ST_UUID;
		return true;
	}
	for (size_t i = 0; i < ARRAY_LEN(words); i++) {
		if (!contains(type, words[i].word))
			continue;
		*ret = words[i].storage;
		if (*ret == ST_VARCHAR || *ret == ST_CHAR)
			*ret_length = length_of(type);
		if (*ret == ST_CHAR && *ret_length == 0)
			*ret = ST_TEXT;
		return true;
	}
	return false;
}

bool live_type_storage(const struct dialect *d, struct str type, enum storage_type *ret, int64_t *ret_length)
{
	return d->id == DIALECT_SQLITE ? sqlite_storage(type, ret, ret_length)
				       : postgres_storage(type, ret, ret_length);
}

enum storage_class { CLASS_TEMPORAL, CLASS_TEXT, CLASS_INTEGER, CLASS_BLOB, CLASS_REAL, CLASS_NUMERIC };

/* What values of a column so declared look like in the file, as far as drift is concerned. */
static enum storage_class sqlite_class(struct str type)
{
	static const struct {
		const char *word;
		enum storage_class class;
	} words[] = {
		{"date", CLASS_TEMPORAL}, {"time", CLASS_TEMPORAL}, {"json", CLASS_TEXT}, {"char", CLASS_TEXT},
		{"clob", CLASS_TEXT},     {"text", CLASS_TEXT},     {"uuid", CLASS_TEXT}, {"bool", CLASS_INTEGER},
		{"int", CLASS_INTEGER},   {"blob", CLASS_BLOB},     {"real", CLASS_REAL}, {"floa", CLASS_REAL},
		{"doub", CLASS_REAL},     {"num", CLASS_REAL},      {"dec", CLASS_REAL},
	};

	for (size_t i = 0; i < ARRAY_LEN(words); i++)
		if (contains(type, words[i].word))
			return words[i].class;
	return str_trim(type).len == 0 ? CLASS_BLOB : CLASS_NUMERIC;
}

/* Storage types of one representation. */
static enum storage_type sqlite_type(enum storage_type t)
{
	return t == ST_UUID_LOGICAL ? ST_UUID : t == ST_TIME_LOGICAL ? ST_TIME : t;
}

static bool is_text(enum storage_type t)
{
	return t == ST_TEXT || t == ST_VARCHAR || t == ST_CHAR;
}

/* Of the instants: what a value is part of; 0: it is none. */
static int temporal_kind(enum storage_type t)
{
	switch ((int)t) {
	case ST_DATE:
		return 1;
	case ST_TIME:
	case ST_TIME_LOGICAL:
		return 2;
	case ST_TIMESTAMP:
	case ST_TIMESTAMPTZ:
	case ST_DATETIME_LOGICAL:
		return 3;
	default:
		return 0;
	}
}

/* Of two numerics: does each have digits and places of its own, and are they others? */
static bool sqlite_other_places(struct str live, const struct column *want)
{
	int64_t digits, places, live_digits, live_places;

	return ((want->sqlite_type.p != NULL && ddl_numeric_places(want->sqlite_type, &digits, &places)) ||
		(want->db_type.p != NULL && ddl_numeric_places(want->db_type, &digits, &places))) &&
	       ddl_numeric_places(live, &live_digits, &live_places) && (digits != live_digits || places != live_places);
}

/* One storage class, and yet the values of one are not all values of the other. What a model does not say of a type's
 * size is no difference: SQLite does not mind it either. */
static bool sqlite_other_values(const struct live_column *live, const struct column *want)
{
	enum storage_type have;
	int64_t length;

	if (!sqlite_storage(live->type, &have, &length))
		return false;
	if (have == ST_NUMERIC && want->storage == ST_NUMERIC)
		return sqlite_other_places(live->type, want);
	if (is_text(have) && is_text(want->storage))
		return want->db_type.p != NULL && want->length > 0 && length != want->length;
	return temporal_kind(have) != 0 && temporal_kind(want->storage) != 0 &&
	       temporal_kind(have) != temporal_kind(want->storage);
}

/* Whether introspection makes the wanted type of the live one: then they are equal by definition, whatever the word
 * says about affinity ("BINARY", "", "STRING", "INET"). */
static bool sqlite_reads_as(const struct live_column *live, const struct column *want)
{
	enum storage_type have;
	int64_t length;

	if (!sqlite_storage(live->type, &have, &length))
		return want->storage == ST_TEXT;
	return sqlite_type(have) == sqlite_type(want->storage) && length == want->length;
}

static enum type_drift sqlite_drift(const struct live_column *live, const struct column *want)
{
	struct strbuf spelling;
	struct err ignored;
	enum storage_class have = sqlite_class(live->type), wanted = CLASS_NUMERIC;

	if (sqlite_other_values(live, want))
		return DRIFT_TYPE;
	if (sqlite_reads_as(live, want))
		return DRIFT_NONE;
	strbuf_init(&spelling, 0);
	if (ddl_column_type(&dialect_sqlite, want, &spelling, &ignored))
		wanted = sqlite_class(strbuf_str(&spelling));
	strbuf_done(&spelling);
	/* a time of day is text under either name */
	if (want->logical == LT_TIME && (have == CLASS_TEXT || contains(live->type, "time")))
		return DRIFT_NONE;
	return have == wanted ? DRIFT_NONE : DRIFT_TYPE;
}

/* Storage types that are one type on PostgreSQL. */
static enum storage_type postgres_type(enum storage_type t)
{
	if (t == ST_UUID_LOGICAL)
		return ST_UUID;
	if (t == ST_DATETIME_LOGICAL)
		return ST_TIMESTAMPTZ;
	return t == ST_TIME_LOGICAL ? ST_VARCHAR : t;
}

/* Of two numerics: has the model digits and places of its own, and the database others? */
static bool other_places(struct str live, struct str want)
{
	int64_t digits, places, live_digits, live_places;

	if (want.p == NULL || !ddl_numeric_places(want, &digits, &places))
		return false;
	return !ddl_numeric_places(live, &live_digits, &live_places) || digits != live_digits || places != live_places;
}

static bool is_timed(enum storage_type t)
{
	return t == ST_TIMESTAMP || t == ST_TIMESTAMPTZ || t == ST_TIME;
}

/* Of two columns of one storage: does one take digits that the other does not? */
static bool other_digits(enum storage_type t, struct str live, struct str want)
{
	return (t == ST_NUMERIC && other_places(live, want)) ||
	       (t == ST_DOUBLE && want.p != NULL && ddl_single_precision(live) != ddl_single_precision(want)) ||
	       (is_timed(t) && want.p != NULL && ddl_time_places(live) != ddl_time_places(want));
}

/* Dimensions are no part of a type there, and one type may be spelled in several ways. */
static enum type_drift own_drift(const struct live_column *live, const struct column *want)
{
	struct arena a;
	struct column have = {.name = live->name, .db_type = live->type};
	bool same = eq_ignoring_case(live->type, want->db_type);

	arena_init(&a);
	(void)schema_type_by_name(&a, &have);
	if (!same && have.shape == SHAPE_ARRAY && want->shape == SHAPE_ARRAY) {
		const struct column *x = have.element, *y = want->element;

		same = x->storage != ST_UNRESOLVED && !y->own_type
			       ? x->storage == y->storage && x->length == y->length &&
					 !other_digits(x->storage, x->db_type, y->db_type)
			       : eq_ignoring_case(x->db_type, y->db_type);
	}
	arena_done(&a);
	return same ? DRIFT_NONE : DRIFT_UNKNOWN;
}

/* "mood" and "public.mood": which of the two a path leads to is not known here. */
static bool same_but_for_schema(struct str a, struct str b)
{
	const struct str longer = a.len > b.len ? a : b, other = a.len > b.len ? b : a;
	const size_t more = longer.len - other.len;

	return eq_ignoring_case(str_n(longer.p + more, other.len), other) && (more == 0 || longer.p[more - 1] == '.');
}

static enum type_drift postgres_drift(const struct live_column *live, const struct column *want)
{
	enum storage_type have, wanted = postgres_type(want->storage);
	int64_t length;

	/* a model that only speaks of a text takes the labels for texts */
	if (live->native_enum)
		return want->postgres_native_enum || want->enum_type_name.p != NULL ||
				       (want->own_type && same_but_for_schema(live->type, want->db_type)) ||
				       (is_text(wanted) && want->db_type.p == NULL)
			       ? DRIFT_NONE
			       : DRIFT_UNKNOWN;
	/* what an older envelope's DDL has made of a type that no db_type says is no drift from a newer one's */
	if (want->postgres_native_enum && !want->has_postgres_native_enum && want->db_type.p == NULL)
		return postgres_storage(live->type, &have, &length) &&
				       (is_text(have) || logical_from_storage(have) == want->logical)
			       ? DRIFT_NONE
			       : DRIFT_ENUM;
	if (want->postgres_native_enum)
		return DRIFT_ENUM;
	if (want->own_type)
		return own_drift(live, want);
	if (!postgres_storage(live->type, &have, &length)) /* what says no type takes the text form of any */
		return want->enum_type_name.p != NULL               ? DRIFT_ENUM
		       : is_text(wanted) && want->db_type.p == NULL ? DRIFT_NONE
								    : DRIFT_UNKNOWN;
	if (have == wanted && length == want->length)
		return other_digits(have, live->type, want->db_type) ? DRIFT_TYPE : DRIFT_NONE;
	if (want->db_type.p == NULL &&
	    ((have == ST_JSON && wanted == ST_JSONB) || (have == ST_VARCHAR && wanted == ST_TIME)))
		return DRIFT_NONE;
	if (want->db_type.p == NULL && have == ST_JSONB && wanted == ST_JSON)
		return DRIFT_NONE; /* the better of the two holds what json holds */
	if (want->enum_type_name.p != NULL)
		return DRIFT_ENUM;
	if ((have == ST_TIMESTAMP && wanted == ST_TIMESTAMPTZ) || (have == ST_TIMESTAMPTZ && wanted == ST_TIMESTAMP))
		return DRIFT_TIMEZONE;
	return DRIFT_TYPE;
}

enum type_drift diff_type(const struct dialect *d, const struct live_column *live, const struct column *want)
{
	return d->id == DIALECT_SQLITE ? sqlite_drift(live, want) : postgres_drift(live, want);
}

/* Order of the types into which smaller ones fit without loss; 0: not in this family. */
static int integer_rank(enum storage_type t)
{
	return t == ST_SMALLINT ? 1 : t == ST_INT ? 2 : t == ST_BIGINT ? 3 : 0;
}

/* More digits on both sides of the point lose nothing; the same places, and nothing is written anew. */
static struct alter_effect numeric_effect(struct str live, struct str want)
{
	int64_t digits, places, live_digits, live_places;

	if (want.p == NULL || !ddl_numeric_places(want, &digits, &places))
		return (struct alter_effect){false, false};
	if (!ddl_numeric_places(live, &live_digits, &live_places))
		return (struct alter_effect){true, true};
	return (struct alter_effect){places != live_places || digits < live_digits,
				     places < live_places || digits - places < live_digits - live_places};
}

struct alter_effect diff_alter_effect(const struct live_column *live, const struct column *want)
{
	enum storage_type have = ST_UNRESOLVED, wanted = postgres_type(want->storage);
	int64_t length = 0;
	bool unlimited;

	if (!postgres_storage(live->type, &have, &length))
		return (struct alter_effect){true, true};
	if (have == ST_NUMERIC && wanted == ST_NUMERIC)
		return numeric_effect(live->type, want->db_type);
	if (have == wanted && is_timed(have)) {
		const bool less = ddl_time_places(want->db_type) < ddl_time_places(live->type);

		return (struct alter_effect){less, less};
	}
	/* varchar and text are stored alike; a limit that does not shrink is only a check that always holds */
	unlimited = wanted == ST_TEXT || (wanted == ST_VARCHAR && want->length == 0);
	if ((have == ST_TEXT || have == ST_VARCHAR) && unlimited)
		return (struct alter_effect){false, false};
	if (have == ST_VARCHAR && wanted == ST_VARCHAR && length != 0 && length <= want->length)
		return (struct alter_effect){false, false};
	if (unlimited)
		return (struct alter_effect){true, false}; /* everything has a text form */
	if (integer_rank(have) != 0 && integer_rank(wanted) != 0)
		return (struct alter_effect){true, integer_rank(have) > integer_rank(wanted)};
	if (integer_rank(have) != 0 && (wanted == ST_NUMERIC || (wanted == ST_DOUBLE && have != ST_BIGINT)))
		return (struct alter_effect){true, false};
	if ((have == ST_DATE && (wanted == ST_TIMESTAMP || wanted == ST_TIMESTAMPTZ)) ||
	    (have == ST_DOUBLE && wanted == ST_NUMERIC))
		return (struct alter_effect){true, false};
	return (struct alter_effect){true, true};
}
