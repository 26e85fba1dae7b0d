/* Which columns hold arrays of PostgreSQL's, and of what. */
#include "service/base/num.h"
#include "store/schema/schema.h"

#include "service/base/banned.h"

/* Without the brackets behind it, and those that a size stands in. False: there are none. */
static bool without_brackets(struct str *s)
{
	bool any = false;

	for (;;) {
		size_t n = s->len;

		if (n < 2 || s->p[n - 1] != ']')
			return any;
		n--;
		while (n > 0 && s->p[n - 1] >= '0' && s->p[n - 1] <= '9')
			n--;
		if (n < 2 || s->p[n - 1] != '[')
			return any;
		*s = str_trim(str_n(s->p, n - 1));
		any = true;
	}
}

/* "timestamp(3) with time zone" -> "timestamp with time zone", and the 3. */
static struct str without_size(struct arena *a, struct str s, int64_t *ret_size)
{
	struct str head, inner, rest = s;

	*ret_size = 0;
	if (!str_split(&rest, '(', &head) || rest.p == NULL || !str_split(&rest, ')', &inner) || rest.p == NULL)
		return s;
	if (!num_parse_int(str_trim(inner), ret_size))
		*ret_size = 0;
	head = str_trim(head);
	return arena_printf(a, "%.*s%.*s", STR_FMT(head), STR_FMT(rest));
}

/* The database's own names of its types, where they are no word of SchemaIR, and names that it also takes. */
static bool storage_of(struct arena *a, struct str name, enum storage_type *ret, int64_t *ret_length)
{
	static const struct {
		const char *word;
		enum storage_type storage;
		bool sized;
	} words[] = {
		{"int2", ST_SMALLINT, false},
		{"int4", ST_INT, false},
		{"int8", ST_BIGINT, false},
		{"float4", ST_DOUBLE, false},
		{"real", ST_DOUBLE, false},
		{"float8", ST_DOUBLE, false},
		{"double precision", ST_DOUBLE, false},
		{"numeric", ST_NUMERIC, false},
		{"decimal", ST_NUMERIC, false},
		{"timestamp", ST_TIMESTAMP, false},
		{"timestamp without time zone", ST_TIMESTAMP, false},
		{"timestamptz", ST_TIMESTAMPTZ, false},
		{"timestamp with time zone", ST_TIMESTAMPTZ, false},
		{"time", ST_TIME, false},
		{"time without time zone", ST_TIME, false},
		{"character varying", ST_VARCHAR, true},
		{"character", ST_CHAR, true},
	};
	int64_t size;
	struct str word;

	if (storage_from_token(name, ret, ret_length))
		return true;
	word = without_size(a, name, &size);
	for (size_t i = 0; i < ARRAY_LEN(words); i++) {
		if (!str_ieq_z(word, words[i].word))
			continue;
		*ret = words[i].storage;
		*ret_length = words[i].sized ? size : 0;
		return true;
	}
	return false;
}

const struct column *schema_array_element(struct arena *a, struct str name, struct str db_type)
{
	struct column *e;
	struct str s = db_type.p != NULL ? str_trim(db_type) : db_type;

	if (s.p == NULL || !without_brackets(&s))
		return NULL;
	e = arena_array(a, 1, sizeof(*e));
	e->name = name;
	e->nullable = true;
	e->db_type = s;
	e->storage = ST_UNRESOLVED;
	(void)storage_of(a, s, &e->storage, &e->length);
	e->logical = logical_from_storage(e->storage);
	e->logical_word = str_z(logical_type_name(e->logical));
	e->format = e->enum_type_name = STR_NONE;
	e->fill.default_sql = STR_NONE;
	return e;
}
