/* SchemaIR JSON -> draft models: shapes and types only. What is left out stays zero for schema_complete. */
#include "store/schema/schema_artifacts.h"
#include "service/base/limits.h"
#include "service/base/num.h"
#include "store/schema/schema_history.h"
#include "store/schema/schema_reader.h"

#include <string.h>

#include "service/base/banned.h"

static void decref_cleanup(void *arg)
{
	json_decref(arg);
}

/* A copy that the schema owns: the document belongs to the request. */
static const json_t *keep(struct parse *p, const json_t *v)
{
	json_t *copy = json_dup(p->b->arena, v);

	arena_on_done(p->b->arena, decref_cleanup, copy);
	return copy;
}

static enum logical_type effective_logical(const struct column *c)
{
	enum logical_type declared = logical_from_word(c->logical_word, c->format);
	enum logical_type stored = logical_from_storage(c->storage);

	if (stored != LT_STRING)
		return stored;
	/* text can hold these in their canonical form, so the column keeps its meaning */
	if (declared == LT_UUID || declared == LT_DECIMAL || declared == LT_DATETIME || declared == LT_DATE ||
	    declared == LT_TIME || declared == LT_JSON)
		return declared;
	return stored;
}

static void parse_enum(struct parse *p, struct column *c)
{
	const json_t *values = parse_array(p, "enum_values", SIZE_MAX);

	if (values != NULL)
		c->enum_values = keep(p, values);
	(void)parse_name(p, "enum_type_name", false, LIMIT_NAME_BYTES, &c->enum_type_name);
	c->has_postgres_native_enum = parse_bool(p, "postgres_native_enum", &c->postgres_native_enum);
}

static void parse_generated(struct parse *p, struct column_fill *f)
{
	struct str word = STR_NONE;
	int g;

	if (!parse_name(p, "generated", false, 0, &word))
		return;
	for (g = GENERATED_IDENTITY; g <= GENERATED_ALWAYS; g++)
		if (str_eq_z(word, column_generated_name((enum column_generated)g)))
			break;
	if (g > GENERATED_ALWAYS)
		parse_fault(p, "generated", "must be always, identity_always or identity");
	else
		f->generated = (enum column_generated)g;
}

static bool get_now(struct parse *p, const char *key)
{
	struct str word = STR_NONE;

	if (!parse_name(p, key, false, 0, &word))
		return false;
	if (!str_eq_z(word, "now"))
		parse_fault(p, key, "must be \"now\"");
	return true;
}

static void parse_fill(struct parse *p, struct column_fill *f)
{
	const json_t *position = parse_member(p, "position");
	bool stored = true;

	(void)parse_bool(p, "database_default", &f->database_default);
	(void)parse_name(p, "default_sql", false, 0, &f->default_sql);
	parse_generated(p, f);
	if (parse_bool(p, "stored", &stored))
		f->computed_on_read = !stored;
	(void)parse_bool(p, "read_only", &f->read_only);
	f->now_on_create = get_now(p, "on_create");
	f->now_on_update = get_now(p, "on_update");
	(void)parse_bool(p, "lock_version", &f->lock_version);
	if (position == NULL)
		return;
	if (json_is_integer(position) && json_integer_value(position) > 0)
		f->position = json_integer_value(position);
	else
		parse_fault(p, "position", "must be an integer from 1");
}

/* After the type is known. */
static void parse_spelling(struct parse *p, struct column *c)
{
	struct str word = STR_NONE;
	int i;

	if (!parse_name(p, "spelling", false, 0, &word))
		return;
	if (c->logical == LT_UUID) {
		c->uuid_hex = str_eq_z(word, "hex");
		c->uuid_bytes = str_eq_z(word, "bytes");
		if (!c->uuid_hex && !c->uuid_bytes && !str_eq_z(word, "hyphens"))
			parse_fault(p, "spelling", "of a uuid must be hyphens, hex or bytes");
		return;
	}
	if (c->logical == LT_BOOLEAN) {
		c->bool_words = str_eq_z(word, "words");
		if (!c->bool_words)
			parse_fault(p, "spelling", "of a boolean must be words");
		return;
	}
	i = (int)time_spelling_of_name(word);
	if (i == TIME_N_SPELLINGS)
		parse_fault(p, "spelling",
			    "must be ferrod, iso, space, space3, space6, js, offset, unix, unix_ms, unix_us, julian or "
			    "mixed");
	else if ((c->logical == LT_DATE || c->logical == LT_TIME) && i != TIME_FERROD && i != TIME_MIXED)
		parse_fault(p, "spelling", "of a date or a time of day must be ferrod or mixed");
	else if (c->logical != LT_DATETIME && c->logical != LT_DATE && c->logical != LT_TIME)
		parse_fault(p, "spelling", "only a datetime, a date, a time, a uuid and a boolean have one");
	else
		c->spelling = (enum time_spelling)i;
}

/* Types of PostgreSQL's that SchemaIR has no word for. Any other word than string and unknown beside a name that is not
 * known keeps its own meaning. */
static void parse_own_type(struct parse *p, struct column *c)
{
	const enum logical_type declared = logical_from_word(c->logical_word, c->format);
	struct column named = *c;
	const char *pointer, *wrong;

	for (size_t i = 0; i < SCHEMA_TYPE_MEMBERS; i++)
		(void)parse_member(p, schema_type_members[i]);
	if (c->db_type.p == NULL)
		return;
	if (schema_type_said(p->obj)) {
		if (!schema_type_read(p->b->arena, p->obj, c, &pointer, &wrong)) {
			schema_fault(p->b, arena_printf(p->b->scratch, "%s%s", p->pointer, pointer).p, "%s", wrong);
			p->d->broken = true;
		}
		return;
	}
	named.shape = SHAPE_PLAIN;
	(void)schema_type_by_name(p->b->arena, &named);
	if (declared == LT_UNKNOWN) {
		*c = named;
		c->logical_word = STR("unknown");
	} else if (declared == LT_STRING && named.storage == ST_UNRESOLVED) {
		c->storage = ST_UNRESOLVED;
		c->logical = LT_STRING;
		c->own_type = true;
	} else if (declared == LT_STRING && logical_from_storage(named.storage) == LT_STRING) {
		c->storage = named.storage; /* "character varying(20)" */
		c->length = named.length;
	} else if (declared == LT_INTEGER && named.own_type && named.logical == LT_INTEGER) {
		c->storage = ST_UNRESOLVED;
		c->own_type = true;
	}
}

static int64_t parse_int(struct parse *p, const char *key)
{
	const json_t *v = parse_member(p, key);

	if (v != NULL && !json_is_integer(v))
		parse_fault(p, key, "must be an integer");
	return json_is_integer(v) ? json_integer_value(v) : 0;
}

static void parse_sequence(struct parse *column, struct column *c)
{
	const json_t *v = parse_member(column, "sequence");
	struct parse p = *column;

	if (v == NULL)
		return;
	if (!json_is_object(v)) {
		parse_fault(column, "sequence", "must be an object");
		return;
	}
	p.obj = v;
	p.pointer = json_pointer_key(p.b->scratch, column->pointer, STR("sequence"));
	p.n_asked = p.n_missed = 0;
	(void)parse_name(&p, "name", true, 0, &c->sequence);
	(void)parse_name(&p, "schema", false, 0, &c->sequence_schema);
	c->sequence_start = parse_int(&p, "start");
	c->sequence_increment = parse_int(&p, "increment");
	parse_leave(&p, true);
}

/* The longest label; 0: they are no texts. */
static size_t label_length(const struct column *c)
{
	size_t longest = 0;

	for (size_t i = 0; i < json_array_size(c->enum_values); i++) {
		const json_t *v = json_array_get(c->enum_values, i);

		if (!json_is_string(v))
			return 0;
		if (json_string_length(v) > longest)
			longest = json_string_length(v);
	}
	return longest;
}

/* What a native enum's type is made of: texts, those of its values where they are integers. NULL: it cannot be. */
static const json_t *native_labels(struct parse *p, const struct column *c)
{
	json_t *labels;
	const json_t *kept;

	if (c->logical != LT_INTEGER)
		return c->enum_values;
	labels = json_array();
	for (size_t i = 0; i < json_array_size(c->enum_values); i++) {
		const json_t *v = json_array_get(c->enum_values, i);
		char digits[24];

		if (!json_is_integer(v)) {
			json_decref(labels);
			return NULL;
		}
		(void)num_format_int(json_integer_value(v), digits);
		(void)json_array_append_new(labels, json_string(digits));
	}
	kept = json_array_size(labels) > 0 ? keep(p, labels) : NULL;
	json_decref(labels);
	return kept;
}

/* An enum that no db_type says the type of. A key of integers counts, and what the database fills is its own. */
static bool is_native_3(const struct column *c, size_t longest)
{
	return c->enum_type_name.p != NULL && !c->has_postgres_native_enum && c->db_type.p == NULL &&
	       (longest > 0 || (c->logical == LT_INTEGER && !c->primary_key && c->fill.default_sql.p == NULL));
}

/* How Ferro 0.26 declares a type on SQLite, said by a db_type or not; NULL: as it always did. What is kept as text is
 * declared so. */
static const char *sqlite_word_3(const struct column *c)
{
	switch ((int)c->storage) {
	case ST_NUMERIC: /* one that says its digits keeps saying them */
		return c->db_type.p == NULL || memchr(c->db_type.p, '(', c->db_type.len) == NULL ? "NUMERIC" : NULL;
	case ST_TIMESTAMP:
	case ST_TIMESTAMPTZ:
	case ST_DATETIME_LOGICAL:
		return "DATETIME";
	case ST_DATE:
		return "DATE";
	case ST_TIME:
		return "TIME";
	case ST_UUID:
	case ST_UUID_LOGICAL:
		return "CHAR(32)";
	case ST_JSON:
	case ST_JSONB:
		return "JSON";
	default:
		return NULL;
	}
}

/* What the types of a version 3 envelope mean. */
static void take_version_3(struct parse *p, struct column *c)
{
	const size_t longest = c->db_type.p == NULL ? label_length(c) : 0;

	if (p->d->m->ir_version < 3)
		return;
	if (c->storage == ST_JSON && c->db_type.p == NULL)
		c->storage = ST_JSONB;
	if (c->storage == ST_TIME_LOGICAL && c->db_type.p == NULL) {
		c->storage = ST_TIME;
		c->home = p->d->m;
	}
	if (is_native_3(c, longest) && native_labels(p, c) != NULL) {
		c->postgres_native_enum = true;
		c->home = p->d->m;
	}
	if (c->sqlite_type.p != NULL)
		return;
	if (longest > 0)
		c->sqlite_type = arena_printf(p->b->arena, "varchar(%zu)", longest);
	else
		c->sqlite_type = str_z(sqlite_word_3(c));
}

#define KINDS(x) (1U << (x))
#define KINDS_TIME (KINDS(LT_DATETIME) | KINDS(LT_DATE) | KINDS(LT_TIME))
#define KINDS_ALL (~0U)

/*
 * Who changes the type of a model that was introspected need not know of `sqlite_type`: a word that means values of
 * another kind (or, below, of another size) goes, or the table would be made anew as it was, again and again. The first
 * word counts that the type contains, as for introspection.
 */
static bool sqlite_type_fits(struct str type, enum logical_type logical)
{
	static const struct {
		const char *word;
		unsigned kinds;
	} words[] = {
		{"uuid", KINDS_ALL},
		{"json", KINDS_ALL},
		{"bool", KINDS(LT_BOOLEAN) | KINDS(LT_INTEGER)},
		{"date", KINDS_ALL},
		{"time", KINDS_ALL},
		{"int", KINDS(LT_INTEGER) | KINDS(LT_BOOLEAN) | KINDS_TIME},
		{"char", ~(KINDS(LT_INTEGER) | KINDS(LT_NUMBER) | KINDS(LT_BOOLEAN) | KINDS(LT_BINARY))},
		{"clob", ~(KINDS(LT_INTEGER) | KINDS(LT_NUMBER) | KINDS(LT_BOOLEAN) | KINDS(LT_BINARY))},
		{"text", ~(KINDS(LT_INTEGER) | KINDS(LT_NUMBER) | KINDS(LT_BOOLEAN) | KINDS(LT_BINARY))},
		{"blob", ~(KINDS(LT_INTEGER) | KINDS(LT_NUMBER) | KINDS(LT_BOOLEAN) | KINDS(LT_STRING))},
		{"binary", ~(KINDS(LT_INTEGER) | KINDS(LT_NUMBER) | KINDS(LT_BOOLEAN) | KINDS(LT_STRING))},
		{"doub", KINDS(LT_NUMBER) | KINDS(LT_DECIMAL) | KINDS_TIME},
		{"floa", KINDS(LT_NUMBER) | KINDS(LT_DECIMAL) | KINDS_TIME},
		{"real", KINDS(LT_NUMBER) | KINDS(LT_DECIMAL) | KINDS_TIME},
		{"num", KINDS(LT_NUMBER) | KINDS(LT_DECIMAL) | KINDS_TIME},
		{"dec", KINDS(LT_NUMBER) | KINDS(LT_DECIMAL) | KINDS_TIME},
	};

	for (size_t i = 0; i < ARRAY_LEN(words) && logical != LT_UNKNOWN; i++) {
		const size_t n = strlen(words[i].word);

		for (size_t k = 0; k + n <= type.len; k++)
			if (str_ieq_z(str_n(type.p + k, n), words[i].word))
				return (words[i].kinds & KINDS(logical)) != 0;
	}
	return true;
}

/* What stands in the type's parentheses, without blanks; len 0: nothing does. */
static struct str type_size(struct parse *p, struct str type)
{
	char *size = arena_alloc(p->b->arena, type.len + 1);
	size_t n = 0, i = 0;

	while (i < type.len && type.p[i] != '(')
		i++;
	for (i++; i < type.len && type.p[i] != ')'; i++)
		if (type.p[i] != ' ')
			size[n++] = type.p[i];
	return str_n(size, n);
}

static void settle_sqlite_type(struct parse *p, struct column *c)
{
	const bool sized = c->sqlite_type.p != NULL && c->db_type.p != NULL &&
			   (c->logical == LT_STRING || c->logical == LT_DECIMAL) && type_size(p, c->db_type).len > 0;

	if (!sqlite_type_fits(c->sqlite_type, c->logical) ||
	    (sized && !str_eq(type_size(p, c->db_type), type_size(p, c->sqlite_type))))
		c->sqlite_type = STR_NONE;
}

static void parse_column(struct parse *p, struct column *c, struct column_given *ret_given)
{
	const json_t *v;

	(void)parse_name(p, "name", true, LIMIT_NAME_BYTES, &c->name);
	if (parse_name(p, "logical_type", true, 0, &c->logical_word) && !logical_word_known(c->logical_word))
		parse_fault(
			p, "logical_type",
			"must be integer, number, decimal, boolean, string, datetime, date, time, uuid, binary, json, "
			"object, array or unknown");
	ret_given->nullable = parse_bool(p, "nullable", &c->nullable);
	(void)parse_bool(p, "primary_key", &c->primary_key);
	ret_given->autoincrement = parse_bool(p, "autoincrement", &c->autoincrement);
	(void)parse_bool(p, "unique", &c->unique);
	(void)parse_bool(p, "index", &c->index_flag);
	v = parse_member(p, "default");
	if (v != NULL)
		c->default_value = keep(p, v);
	(void)parse_str(p, "format", &c->format);
	(void)parse_name(p, "db_type", false, 0, &c->db_type);
	c->has_db_type_explicit = parse_bool(p, "db_type_explicit", &c->db_type_explicit);
	parse_enum(p, c);
	parse_fill(p, &c->fill);
	(void)parse_str(p, "sqlite_type", &c->sqlite_type);
	parse_sequence(p, c);
	(void)parse_name(p, "collation", false, LIMIT_NAME_BYTES * 2, &c->collation);
	(void)parse_str(p, "comment", &c->comment);
	schema_parse_history(p, c);
	c->base_type = c->bare_type = STR_NONE;
	if (c->db_type.p == NULL || !storage_from_token(c->db_type, &c->storage, &c->length)) {
		c->storage = storage_from_logical(c->logical_word, c->format);
		c->logical = effective_logical(c);
		parse_own_type(p, c);
	} else {
		c->logical = effective_logical(c);
	}
	settle_sqlite_type(p, c);
	take_version_3(p, c);
	if (c->postgres_native_enum)
		c->enum_labels = native_labels(p, c);
	parse_spelling(p, c);
	parse_leave(p, false);
}

/* A retired column is in the table, where it may be null, and not in the model. */
static void leave_out_retired(struct parse *model, struct column_given *given)
{
	struct model *m = model->d->m;
	size_t n = 0, n_retired = 0;

	for (size_t i = 0; i < m->n_columns; i++)
		n_retired += m->columns[i].retired;
	if (n_retired == 0)
		return;
	m->retired = arena_array(model->b->arena, n_retired, sizeof(*m->retired));
	for (size_t i = 0; i < m->n_columns; i++) {
		if (m->columns[i].retired) {
			m->columns[i].nullable = true;
			m->columns[i].unique = m->columns[i].index_flag = m->columns[i].autoincrement = false;
			m->retired[m->n_retired++] = m->columns[i];
			continue;
		}
		m->columns[n] = m->columns[i];
		given[n++] = given[i];
	}
	if (n == 0)
		parse_fault(model, "columns", "must not all be retired");
	m->n_columns = n;
}

static void parse_columns(struct parse *model)
{
	struct model *m = model->d->m;
	const json_t *list = parse_array(model, "columns", LIMIT_COLUMNS);
	struct column_given *given;
	struct parse p;

	if (list == NULL || json_array_size(list) == 0) {
		if (list != NULL || parse_member(model, "columns") == NULL)
			parse_fault(model, "columns", list != NULL ? "must not be empty" : "is missing");
		return;
	}
	m->n_columns = json_array_size(list);
	m->columns = arena_array(model->b->arena, m->n_columns, sizeof(*m->columns));
	model->d->given = given = arena_array(model->b->scratch, m->n_columns, sizeof(*given));
	for (size_t i = 0; i < m->n_columns; i++)
		if (parse_enter(&p, model, list, "columns", i))
			parse_column(&p, &m->columns[i], &given[i]);
	leave_out_retired(model, given);
}

static void parse_relation(struct parse *p, struct relation_decl *r)
{
	struct str kind = STR_NONE;
	size_t i;

	r->pointer = p->pointer;
	(void)parse_member(p, "derived");
	(void)parse_member(p, "columns");
	(void)parse_name(p, "name", true, LIMIT_MODEL_NAME, &r->name);
	(void)parse_name(p, "target", true, LIMIT_MODEL_NAME, &r->target);
	(void)parse_name(p, "column", false, LIMIT_NAME_BYTES, &r->column);
	(void)parse_name(p, "through", false, LIMIT_NAME_BYTES, &r->through);
	(void)parse_name(p, "source_column", false, LIMIT_NAME_BYTES, &r->source_column);
	(void)parse_name(p, "target_column", false, LIMIT_NAME_BYTES, &r->target_column);
	(void)parse_name(p, "kind", true, 0, &kind);
	parse_leave(p, true);
	if (kind.p == NULL)
		return;
	for (i = 0; i <= REL_MANY_TO_MANY; i++)
		if (str_eq_z(kind, relation_kind_name((enum relation_kind)i)))
			break;
	if (i > REL_MANY_TO_MANY)
		parse_fault(p, "kind", "must be forward, reverse, one_to_one or many_to_many");
	else
		r->kind = (enum relation_kind)i;
}

/* Entries marked "derived" are those of an earlier answer; they are derived anew. */
static void parse_relations(struct parse *model)
{
	const json_t *list = parse_array(model, "relations", LIMIT_MODELS);
	struct relation_decl *decls;
	struct parse p;

	if (list == NULL || json_array_size(list) == 0)
		return;
	model->d->decls = decls = arena_array(model->b->scratch, json_array_size(list), sizeof(*decls));
	for (size_t i = 0; i < json_array_size(list); i++) {
		if (!parse_enter(&p, model, list, "relations", i) || json_is_true(json_object_get(p.obj, "derived")))
			continue;
		parse_relation(&p, &decls[model->d->n_decls++]);
	}
}

/* Of an answer that comes back they say nothing, either: the request says which set it is about. */
static void parse_sets(struct parse *p)
{
	struct arena *a = p->b->arena;
	const json_t *set = parse_member(p, "set"), *list = parse_member(p, "sets");
	const bool trusted = p->d->kept || p->b->trusts_sets;
	const size_t n = trusted && json_array_size(list) > 0 ? json_array_size(list) : 1;
	struct str *sets = arena_array(a, n, sizeof(*sets));

	for (size_t i = 0; i < n; i++) {
		const json_t *one = json_is_array(list) ? json_array_get(list, i) : set;

		sets[i] = !trusted              ? arena_str(a, p->b->set)
			  : json_is_string(one) ? arena_str(a, json_str(one))
						: STR("");
	}
	p->d->m->sets = sets;
	p->d->m->n_sets = n;
}

/* What stands for something else than a table of the search path. */
static void parse_kind(struct parse *p)
{
	struct model *m = p->d->m;
	struct str kind = STR_NONE;
	bool writable = true;

	(void)parse_name(p, "schema", false, LIMIT_NAME_BYTES, &m->schema_name);
	if (parse_name(p, "kind", false, 0, &kind) && !model_kind_from_name(kind, &m->kind))
		parse_fault(p, "kind", "must be table, partitioned, view, materialized_view, foreign_table or virtual");
	if (parse_bool(p, "writable", &writable))
		m->read_only = !writable;
	else
		m->read_only = m->kind == MODEL_VIEW || m->kind == MODEL_MATERIALIZED_VIEW;
	if (parse_member(p, "excluded") != NULL)
		m->excluded = parse_strings(p, "excluded", &m->n_excluded);
	if (parse_member(p, "key") == NULL)
		return;
	m->key = parse_strings(p, "key", &m->n_key);
	if (model_is_table(m))
		parse_fault(p, "key",
			    "is for what has no primary key of its own: a table's are its primary_key columns");
}

void schema_parse_model(struct schema_build *b, const json_t *obj, const char *pointer, bool kept)
{
	struct draft *d = &b->drafts[b->n++];
	struct parse p = {.b = b, .d = d, .obj = obj, .pointer = pointer};

	*d = (struct draft){.m = arena_alloc(b->arena, sizeof(*d->m)), .pointer = pointer, .kept = kept};
	if (!json_is_object(obj)) {
		schema_fault(b, pointer, "a model must be an object, not %s", json_type_name(obj));
		d->broken = true;
		return;
	}
	(void)parse_name(&p, "model_name", true, LIMIT_MODEL_NAME, &d->m->name);
	(void)parse_name(&p, "table_name", false, LIMIT_NAME_BYTES, &d->m->table);
	parse_kind(&p);
	d->m->ir_version = (int)parse_int(&p, "ir_version");
	if (d->m->ir_version == 0 && !kept)
		d->m->ir_version = b->ir_version;
	schema_parse_model_history(&p);
	(void)parse_str(&p, "comment", &d->m->comment);
	(void)parse_bool(&p, "strict", &d->m->strict);
	(void)parse_bool(&p, "without_rowid", &d->m->without_rowid);
	parse_columns(&p);
	schema_parse_artifacts(&p);
	parse_relations(&p);
	parse_sets(&p);
	(void)parse_member(&p, "origin"); /* ours, of an answer that comes back: says nothing here */
	parse_leave(&p, false);
}
