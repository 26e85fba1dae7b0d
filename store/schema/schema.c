/* Schema objects: references, look-ups, and the vocabulary of types. */
#include "store/schema/schema.h"

#include <string.h>

#include "service/base/mem.h"
#include "service/base/num.h"

#include "service/base/banned.h"

struct schema *schema_ref(struct schema *s)
{
	__atomic_add_fetch(&s->refs, 1, __ATOMIC_RELAXED);
	return s;
}

void schema_unref(struct schema *s)
{
	if (s == NULL || __atomic_sub_fetch(&s->refs, 1, __ATOMIC_ACQ_REL) > 0)
		return;
	for (size_t i = 0; i < s->n_models; i++)
		map_done(&s->models[i].columns_by_name);
	map_done(&s->by_name);
	map_done(&s->by_table);
	arena_done(&s->arena);
	mem_free(s);
}

const char *column_generated_name(enum column_generated g)
{
	static const char *const names[] = {
		[GENERATED_NOT] = NULL,
		[GENERATED_IDENTITY] = "identity",
		[GENERATED_IDENTITY_ALWAYS] = "identity_always",
		[GENERATED_ALWAYS] = "always",
	};

	return names[g];
}

bool column_fills(const struct column *c)
{
	return c->fill.database_default || c->autoincrement || (c->nullable && !c->primary_key);
}

const struct model *schema_model(const struct schema *s, struct str name)
{
	return map_get(&s->by_name, name);
}

const struct model *schema_model_by_table(const struct schema *s, struct str table)
{
	return map_get(&s->by_table, table);
}

struct str model_place(struct arena *a, struct str schema_name, struct str table)
{
	/* no name has a NUL, so that no two places have one text */
	const size_t n = schema_name.p != NULL ? schema_name.len + 1 : 0;
	char *p;

	if (n == 0)
		return table;
	p = arena_alloc(a, n + table.len + 1);
	memcpy(p, schema_name.p, schema_name.len);
	memcpy(p + n, table.p, table.len);
	return str_n(p, n + table.len);
}

const struct model *schema_model_at(const struct schema *s, struct str schema_name, struct str table)
{
	const struct model *found;
	struct arena scratch;

	if (schema_name.p == NULL)
		return schema_model_by_table(s, table);
	arena_init(&scratch);
	found = map_get(&s->by_table, model_place(&scratch, schema_name, table));
	arena_done(&scratch);
	return found;
}

bool model_kind_is_table(enum model_kind kind)
{
	return kind == MODEL_TABLE || kind == MODEL_PARTITIONED;
}

bool model_is_table(const struct model *m)
{
	return model_kind_is_table(m->kind);
}

static const char *const kind_names[] = {
	[MODEL_TABLE] = "table",
	[MODEL_PARTITIONED] = "partitioned",
	[MODEL_VIEW] = "view",
	[MODEL_MATERIALIZED_VIEW] = "materialized_view",
	[MODEL_FOREIGN_TABLE] = "foreign_table",
	[MODEL_VIRTUAL] = "virtual",
};

const char *model_kind_name(enum model_kind kind)
{
	return kind_names[kind];
}

bool model_kind_from_name(struct str name, enum model_kind *ret)
{
	for (size_t i = 0; i < ARRAY_LEN(kind_names); i++)
		if (str_eq_z(name, kind_names[i])) {
			*ret = (enum model_kind)i;
			return true;
		}
	return false;
}

const struct column *model_column(const struct model *m, struct str name)
{
	return map_get(&m->columns_by_name, name);
}

const struct column *model_made_column(const struct model *m, size_t i)
{
	return i < m->n_columns ? &m->columns[i] : &m->retired[i - m->n_columns];
}

const struct relation *model_relation(const struct model *m, struct str name)
{
	for (size_t i = 0; i < m->n_relations; i++)
		if (str_eq(m->relations[i].name, name))
			return &m->relations[i];
	return NULL;
}

static const char *const logical_names[] = {
	[LT_INTEGER] = "integer", [LT_NUMBER] = "number",     [LT_DECIMAL] = "decimal", [LT_BOOLEAN] = "boolean",
	[LT_STRING] = "string",   [LT_DATETIME] = "datetime", [LT_DATE] = "date",       [LT_TIME] = "time",
	[LT_UUID] = "uuid",       [LT_BINARY] = "binary",     [LT_JSON] = "json",       [LT_UNKNOWN] = "unknown",
};

const char *logical_type_name(enum logical_type t)
{
	return logical_names[t];
}

bool logical_word_known(struct str word)
{
	for (size_t i = 0; i < ARRAY_LEN(logical_names); i++)
		if (str_eq_z(word, logical_names[i]))
			return true;
	return str_eq_z(word, "object") || str_eq_z(word, "array");
}

enum logical_type logical_from_word(struct str logical_word, struct str format)
{
	static const struct {
		const char *word, *format; /* NULL: any */
		enum logical_type type;
	} rules[] = {
		{NULL, "decimal", LT_DECIMAL}, {"string", "date-time", LT_DATETIME}, {"string", "date", LT_DATE},
		{"string", "uuid", LT_UUID},   {"string", "binary", LT_BINARY},      {"object", NULL, LT_JSON},
		{"array", NULL, LT_JSON},
	};

	for (size_t i = 0; i < ARRAY_LEN(rules); i++)
		if ((rules[i].word == NULL || str_eq_z(logical_word, rules[i].word)) &&
		    (rules[i].format == NULL || str_eq_z(format, rules[i].format)))
			return rules[i].type;
	for (size_t i = 0; i < ARRAY_LEN(logical_names); i++)
		if (str_eq_z(logical_word, logical_names[i]))
			return (enum logical_type)i;
	return LT_UNKNOWN;
}

enum storage_type storage_from_logical(struct str logical_word, struct str format)
{
	static const enum storage_type storage[] = {
		[LT_INTEGER] = ST_INT,     [LT_NUMBER] = ST_DOUBLE,     [LT_DECIMAL] = ST_NUMERIC,
		[LT_BOOLEAN] = ST_BOOLEAN, [LT_STRING] = ST_VARCHAR,    [LT_DATETIME] = ST_DATETIME_LOGICAL,
		[LT_DATE] = ST_DATE,       [LT_TIME] = ST_TIME_LOGICAL, [LT_UUID] = ST_UUID_LOGICAL,
		[LT_BINARY] = ST_BYTEA,    [LT_JSON] = ST_JSON,         [LT_UNKNOWN] = ST_UNRESOLVED,
	};

	return storage[logical_from_word(logical_word, format)];
}

enum logical_type logical_from_storage(enum storage_type t)
{
	static const enum logical_type logical[] = {
		[ST_SMALLINT] = LT_INTEGER,
		[ST_INT] = LT_INTEGER,
		[ST_BIGINT] = LT_INTEGER,
		[ST_DOUBLE] = LT_NUMBER,
		[ST_NUMERIC] = LT_DECIMAL,
		[ST_BOOLEAN] = LT_BOOLEAN,
		[ST_JSON] = LT_JSON,
		[ST_JSONB] = LT_JSON,
		[ST_TEXT] = LT_STRING,
		[ST_VARCHAR] = LT_STRING,
		[ST_CHAR] = LT_STRING,
		[ST_UUID] = LT_UUID,
		[ST_UUID_LOGICAL] = LT_UUID,
		[ST_TIMESTAMP] = LT_DATETIME,
		[ST_TIMESTAMPTZ] = LT_DATETIME,
		[ST_DATETIME_LOGICAL] = LT_DATETIME,
		[ST_DATE] = LT_DATE,
		[ST_TIME] = LT_TIME,
		[ST_TIME_LOGICAL] = LT_TIME,
		[ST_BYTEA] = LT_BINARY,
		[ST_UNRESOLVED] = LT_UNKNOWN,
	};

	return logical[t];
}

/* "varchar(40)" with word "varchar" -> 40; false unless it is exactly WORD(N) with N > 0. */
static bool sized_token(struct str token, const char *word, int64_t *ret_length)
{
	struct str head, rest = token;

	if (!str_split(&rest, '(', &head) || rest.p == NULL || !str_ieq_z(str_trim(head), word))
		return false;
	if (rest.len == 0 || rest.p[rest.len - 1] != ')')
		return false;
	return num_parse_int(str_trim(str_n(rest.p, rest.len - 1)), ret_length) && *ret_length > 0;
}

/* "timestamp(3)", "time(0) without time zone", "timestamp with time zone": how exact it is does not change what it is.
 */
static bool timed_token(struct str token, enum storage_type *ret)
{
	static const struct {
		const char *word, *tail;
		enum storage_type type;
	} words[] = {
		{"timestamp", "", ST_TIMESTAMP},
		{"timestamp", "without time zone", ST_TIMESTAMP},
		{"timestamp", "with time zone", ST_TIMESTAMPTZ},
		{"timestamptz", "", ST_TIMESTAMPTZ},
		{"time", "", ST_TIME},
		{"time", "without time zone", ST_TIME},
	};
	struct str head, places, rest = token;
	int64_t n;

	(void)str_split(&rest, '(', &head);
	if (rest.p == NULL) { /* no places: behind the first word stands the rest */
		rest = token;
		(void)str_split(&rest, ' ', &head);
	} else if (!str_split(&rest, ')', &places) || rest.p == NULL || !num_parse_int(str_trim(places), &n) || n < 0) {
		return false;
	}
	rest = rest.p != NULL ? str_trim(rest) : STR("");
	for (size_t i = 0; i < ARRAY_LEN(words); i++) {
		if (!str_ieq_z(str_trim(head), words[i].word) || !str_ieq_z(rest, words[i].tail))
			continue;
		*ret = words[i].type;
		return true;
	}
	return false;
}

bool storage_from_token(struct str token, enum storage_type *ret, int64_t *ret_length)
{
	static const struct {
		const char *word;
		enum storage_type type;
	} words[] = {
		{"text", ST_TEXT},
		{"varchar", ST_VARCHAR},
		{"smallint", ST_SMALLINT},
		{"int", ST_INT},
		{"integer", ST_INT},
		{"bigint", ST_BIGINT},
		{"boolean", ST_BOOLEAN},
		{"bool", ST_BOOLEAN},
		{"double", ST_DOUBLE},
		{"numeric", ST_NUMERIC},
		{"decimal", ST_NUMERIC},
		{"json", ST_JSON},
		{"jsonb", ST_JSONB},
		{"uuid", ST_UUID},
		{"timestamp", ST_TIMESTAMP},
		{"date", ST_DATE},
		{"timestamptz", ST_TIMESTAMPTZ},
		{"time", ST_TIME},
		{"bytea", ST_BYTEA},
		{"blob", ST_BYTEA},
	};
	int64_t length;

	token = str_trim(token);
	for (size_t i = 0; i < ARRAY_LEN(words); i++) {
		if (str_ieq_z(token, words[i].word)) {
			*ret = words[i].type;
			*ret_length = 0;
			return true;
		}
	}
	if (timed_token(token, ret)) {
		*ret_length = 0;
		return true;
	}
	if (sized_token(token, "varchar", &length))
		*ret = ST_VARCHAR;
	else if (sized_token(token, "char", &length))
		*ret = ST_CHAR;
	else
		return false;
	*ret_length = length;
	return true;
}

const char *time_spelling_name(enum time_spelling spelling)
{
	static const char *const names[] = {
		[TIME_FERROD] = "ferrod",   [TIME_ISO] = "iso",       [TIME_JS] = "js",
		[TIME_OFFSET] = "offset",   [TIME_SPACE] = "space",   [TIME_SPACE3] = "space3",
		[TIME_SPACE6] = "space6",   [TIME_UNIX] = "unix",     [TIME_UNIX_MS] = "unix_ms",
		[TIME_UNIX_US] = "unix_us", [TIME_JULIAN] = "julian", [TIME_MIXED] = "mixed",
	};

	return names[spelling];
}

enum time_spelling time_spelling_of_name(struct str word)
{
	int i = 0;

	while (i < TIME_N_SPELLINGS && !str_eq_z(word, time_spelling_name((enum time_spelling)i)))
		i++;
	return (enum time_spelling)i;
}

const char *relation_kind_name(enum relation_kind kind)
{
	static const char *const names[] = {
		[REL_FORWARD] = "forward",
		[REL_REVERSE] = "reverse",
		[REL_ONE_TO_ONE] = "one_to_one",
		[REL_MANY_TO_MANY] = "many_to_many",
	};

	return names[kind];
}

bool schema_index_plain(const struct schema_index *x)
{
	return x->keys == NULL && x->n_include == 0 && x->predicate.p == NULL && x->method.p == NULL &&
	       !x->nulls_not_distinct && !x->constraint && !x->deferrable;
}

bool schema_index_keeps_unique(const struct schema_index *x)
{
	return x->unique && x->predicate.p == NULL && (x->keys == NULL || x->n_keys == x->n_columns);
}

size_t relation_n_pairs(const struct relation *r)
{
	return r->n_columns > 1 ? r->n_columns : 1;
}

struct str relation_here(const struct relation *r, size_t i)
{
	if (r->n_columns <= 1)
		return r->local ? r->column : r->to_column;
	return r->local ? r->columns[i] : r->to_columns[i];
}

struct str relation_there(const struct relation *r, size_t i)
{
	if (r->n_columns <= 1)
		return r->local ? r->to_column : r->column;
	return r->local ? r->to_columns[i] : r->columns[i];
}
