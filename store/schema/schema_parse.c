/* SchemaIR JSON -> draft models: shapes and types only. What is left out stays zero for schema_complete. */
#include "store/schema/schema_build.h"

#include <string.h>

#include "service/base/banned.h"

#define MODEL_NAME_BYTES 255
#define MEMBERS_MAX 48 /* that a reader looks for in one object */

/* One object under the reader's eyes. */
struct parse {
	struct schema_build *b;
	struct draft *d;
	const json_t *obj;
	const char *pointer;
	const char *asked[MEMBERS_MAX]; /* members that the reader has looked for: any other is unknown to it */
	size_t n_asked;
};

static void parse_fault(struct parse *p, const char *key, const char *what)
{
	const char *at = json_pointer_key(p->b->scratch, p->pointer, str_z(key));

	schema_fault(p->b, at, "\"%s\" %s", key, what);
	p->d->broken = true;
}

/* The member, null counting as absent. */
static const json_t *member(struct parse *p, const char *key)
{
	const json_t *v = json_object_get(p->obj, key);

	if (v != NULL && p->n_asked < MEMBERS_MAX)
		p->asked[p->n_asked++] = key;

	return v != NULL && !json_is_null(v) ? v : NULL;
}

static bool get_bool(struct parse *p, const char *key, bool *ret)
{
	const json_t *v = member(p, key);

	if (v == NULL)
		return false;
	if (!json_is_boolean(v)) {
		parse_fault(p, key, "must be true or false");
		return false;
	}
	*ret = json_is_true(v);
	return true;
}

static bool get_str(struct parse *p, const char *key, struct str *ret)
{
	const json_t *v = member(p, key);

	if (v == NULL)
		return false;
	if (!json_is_string(v)) {
		parse_fault(p, key, "must be a string");
		return false;
	}
	if (memchr(json_string_value(v), '\0', json_string_length(v)) != NULL) {
		parse_fault(p, key, "must not contain a NUL character");
		return false;
	}
	*ret = arena_str(p->b->arena, json_str(v));
	return true;
}

/* A name: not empty, at most `max` bytes (0: any). */
static bool get_name(struct parse *p, const char *key, bool required, size_t max, struct str *ret)
{
	if (!get_str(p, key, ret)) {
		if (required && member(p, key) == NULL)
			parse_fault(p, key, "is missing");
		return false;
	}
	if (ret->len == 0) {
		parse_fault(p, key, "must not be empty");
		return false;
	}
	if (max > 0 && ret->len > max) {
		schema_fault(p->b, json_pointer_key(p->b->scratch, p->pointer, str_z(key)),
			     "\"%s\" is %zu bytes long; at most %zu are possible", key, ret->len, max);
		p->d->broken = true;
		return false;
	}
	return true;
}

static const json_t *get_array(struct parse *p, const char *key, size_t max)
{
	const json_t *v = member(p, key);

	if (v == NULL)
		return NULL;
	if (!json_is_array(v)) {
		parse_fault(p, key, "must be an array");
		return NULL;
	}
	if (json_array_size(v) > max) {
		parse_fault(p, key, "has too many elements");
		return NULL;
	}
	return v;
}

static bool among(const char *const *list, size_t n, const char *key)
{
	for (size_t i = 0; i < n; i++)
		if (strcmp(list[i], key) == 0)
			return true;
	return false;
}

static void unknown_member(struct schema_build *b, const char *pointer, const char *key)
{
	schema_warn(b, "unknown_member", json_pointer_key(b->scratch, pointer, str_z(key)),
		    "\"%.100s\" is no member that is known here: nothing heeds it", key);
}

void schema_unknown_members(struct schema_build *b, const json_t *o, const char *pointer, const char *const *known)
{
	size_t n = 0;
	const char *key;
	json_t *v;

	while (known[n] != NULL)
		n++;
	json_object_foreach((json_t *)(uintptr_t)o, key, v) if (!among(known, n, key)) unknown_member(b, pointer, key);
}

/* Once all that can be there was asked for: the rest is a warning, or a fault in what is an addition of ours. */
static void leave(struct parse *p, bool ours)
{
	const char *key;
	json_t *v;

	if (p->d->kept || json_object_size(p->obj) == p->n_asked)
		return;
	json_object_foreach((json_t *)(uintptr_t)p->obj, key, v)
	{
		if (among(p->asked, p->n_asked, key))
			continue;
		if (ours)
			parse_fault(p, key, "is no member that is known here");
		else
			unknown_member(p->b, p->pointer, key);
	}
}

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

/* An array of strings into the arena; a fault when it is missing, empty or holds something else. */
static const struct str *get_strings(struct parse *p, const char *key, size_t *ret_n)
{
	const json_t *v = get_array(p, key, LIMIT_COLUMNS);
	struct str *out;

	*ret_n = 0;
	if (v == NULL || json_array_size(v) == 0) {
		if (v != NULL || member(p, key) == NULL)
			parse_fault(p, key, v != NULL ? "must not be empty" : "is missing");
		return NULL;
	}
	out = arena_array(p->b->arena, json_array_size(v), sizeof(*out));
	for (size_t i = 0; i < json_array_size(v); i++) {
		const json_t *item = json_array_get(v, i);

		if (!json_is_string(item) || memchr(json_string_value(item), '\0', json_string_length(item)) != NULL) {
			const char *at = json_pointer_key(p->b->scratch, p->pointer, str_z(key));

			schema_fault(p->b, json_pointer_index(p->b->scratch, at, i), "must be a string without NUL");
			p->d->broken = true;
			return NULL;
		}
		out[i] = arena_str(p->b->arena, json_str(item));
	}
	*ret_n = json_array_size(v);
	return out;
}

/* Goes to element i of an array member; false (and a fault) when it is no object. */
static bool enter(struct parse *p, const struct parse *model, const json_t *array, const char *key, size_t i)
{
	const char *at = json_pointer_key(model->b->scratch, model->pointer, str_z(key));

	*p = *model;
	p->obj = json_array_get(array, i);
	p->pointer = json_pointer_index(model->b->scratch, at, i);
	p->n_asked = 0;
	if (json_is_object(p->obj))
		return true;
	schema_fault(p->b, p->pointer, "must be an object, not %s", json_type_name(p->obj));
	p->d->broken = true;
	return false;
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
	const json_t *values = get_array(p, "enum_values", SIZE_MAX);

	if (values != NULL)
		c->enum_values = keep(p, values);
	(void)get_name(p, "enum_type_name", false, LIMIT_NAME_BYTES, &c->enum_type_name);
	c->has_postgres_native_enum = get_bool(p, "postgres_native_enum", &c->postgres_native_enum);
}

static void parse_generated(struct parse *p, struct column_fill *f)
{
	struct str word = STR_NONE;
	int g;

	if (!get_name(p, "generated", false, 0, &word))
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

	if (!get_name(p, key, false, 0, &word))
		return false;
	if (!str_eq_z(word, "now"))
		parse_fault(p, key, "must be \"now\"");
	return true;
}

static void parse_fill(struct parse *p, struct column_fill *f)
{
	const json_t *position = member(p, "position");
	bool stored = true;

	(void)get_bool(p, "database_default", &f->database_default);
	(void)get_name(p, "default_sql", false, 0, &f->default_sql);
	parse_generated(p, f);
	if (get_bool(p, "stored", &stored))
		f->computed_on_read = !stored;
	(void)get_bool(p, "read_only", &f->read_only);
	f->now_on_create = get_now(p, "on_create");
	f->now_on_update = get_now(p, "on_update");
	(void)get_bool(p, "lock_version", &f->lock_version);
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

	if (!get_name(p, "spelling", false, 0, &word))
		return;
	if (c->logical == LT_UUID) {
		c->uuid_hex = str_eq_z(word, "hex");
		if (!c->uuid_hex && !str_eq_z(word, "hyphens"))
			parse_fault(p, "spelling", "of a uuid must be hyphens or hex");
		return;
	}
	i = (int)time_spelling_of_name(word);
	if (i == TIME_N_SPELLINGS)
		parse_fault(p, "spelling",
			    "must be ferrod, iso, space, space3, space6, js, offset, unix, unix_ms, unix_us, julian or "
			    "mixed");
	else if (c->logical != LT_DATETIME)
		parse_fault(p, "spelling", "only a datetime and a uuid have one");
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
		(void)member(p, schema_type_members[i]);
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

static void parse_column(struct parse *p, struct column *c, struct column_given *ret_given)
{
	const json_t *v;

	(void)get_name(p, "name", true, LIMIT_NAME_BYTES, &c->name);
	if (get_name(p, "logical_type", true, 0, &c->logical_word) && !logical_word_known(c->logical_word))
		parse_fault(
			p, "logical_type",
			"must be integer, number, decimal, boolean, string, datetime, date, time, uuid, binary, json, "
			"object, array or unknown");
	ret_given->nullable = get_bool(p, "nullable", &c->nullable);
	(void)get_bool(p, "primary_key", &c->primary_key);
	ret_given->autoincrement = get_bool(p, "autoincrement", &c->autoincrement);
	(void)get_bool(p, "unique", &c->unique);
	(void)get_bool(p, "index", &c->index_flag);
	v = member(p, "default");
	if (v != NULL)
		c->default_value = keep(p, v);
	(void)get_str(p, "format", &c->format);
	(void)get_name(p, "db_type", false, 0, &c->db_type);
	c->has_db_type_explicit = get_bool(p, "db_type_explicit", &c->db_type_explicit);
	parse_enum(p, c);
	parse_fill(p, &c->fill);
	c->base_type = STR_NONE;
	if (c->db_type.p == NULL || !storage_from_token(c->db_type, &c->storage, &c->length)) {
		c->storage = storage_from_logical(c->logical_word, c->format);
		c->logical = effective_logical(c);
		parse_own_type(p, c);
	} else {
		c->logical = effective_logical(c);
	}
	parse_spelling(p, c);
	leave(p, false);
}

static void parse_columns(struct parse *model)
{
	struct model *m = model->d->m;
	const json_t *list = get_array(model, "columns", LIMIT_COLUMNS);
	struct column_given *given;
	struct parse p;

	if (list == NULL || json_array_size(list) == 0) {
		if (list != NULL || member(model, "columns") == NULL)
			parse_fault(model, "columns", list != NULL ? "must not be empty" : "is missing");
		return;
	}
	m->n_columns = json_array_size(list);
	m->columns = arena_array(model->b->arena, m->n_columns, sizeof(*m->columns));
	model->d->given = given = arena_array(model->b->scratch, m->n_columns, sizeof(*given));
	for (size_t i = 0; i < m->n_columns; i++)
		if (enter(&p, model, list, "columns", i))
			parse_column(&p, &m->columns[i], &given[i]);
}

static void parse_foreign_keys(struct parse *model)
{
	struct model *m = model->d->m;
	const json_t *list = get_array(model, "foreign_keys", LIMIT_COLUMNS);
	struct parse p;

	if (list == NULL || json_array_size(list) == 0)
		return;
	m->n_fks = json_array_size(list);
	m->fks = arena_array(model->b->arena, m->n_fks, sizeof(*m->fks));
	for (size_t i = 0; i < m->n_fks; i++) {
		struct foreign_key *fk = &m->fks[i];

		if (!enter(&p, model, list, "foreign_keys", i))
			continue;
		(void)get_name(&p, "column", true, LIMIT_NAME_BYTES, &fk->column);
		(void)get_name(&p, "to_table", true, LIMIT_NAME_BYTES, &fk->to_table);
		(void)get_name(&p, "to_column", false, LIMIT_NAME_BYTES, &fk->to_column);
		(void)get_str(&p, "on_delete", &fk->on_delete);
		(void)get_name(&p, "name", false, 0, &fk->name);
		(void)get_name(&p, "related_name", false, MODEL_NAME_BYTES, &fk->related_name);
		(void)get_name(&p, "to_schema", false, LIMIT_NAME_BYTES, &fk->to_schema);
		leave(&p, false);
	}
}

/* `indexes` or `uniques`; one place more than columns stays free for implied entries. */
static void parse_indexes(struct parse *model, const char *key, bool uniques, struct schema_index **ret, size_t *ret_n)
{
	const json_t *list = get_array(model, key, LIMIT_COLUMNS);
	size_t n = list != NULL ? json_array_size(list) : 0;
	struct parse p;

	*ret = arena_array(model->b->arena, n + model->d->m->n_columns, sizeof(**ret));
	for (size_t i = 0; i < n; i++) {
		struct schema_index *x = &(*ret)[i];

		if (!enter(&p, model, list, key, i))
			continue;
		(void)get_name(&p, "name", false, 0, &x->name);
		x->columns = get_strings(&p, "columns", &x->n_columns);
		x->unique = uniques;
		if (!uniques)
			(void)get_bool(&p, "unique", &x->unique);
		leave(&p, false);
	}
	*ret_n = n;
}

static void parse_checks(struct parse *model)
{
	struct model *m = model->d->m;
	const json_t *list = get_array(model, "checks", LIMIT_COLUMNS);
	struct parse p;

	if (list == NULL || json_array_size(list) == 0)
		return;
	m->n_checks = json_array_size(list);
	m->checks = arena_array(model->b->arena, m->n_checks, sizeof(*m->checks));
	for (size_t i = 0; i < m->n_checks; i++) {
		struct schema_check *c = &m->checks[i];

		if (!enter(&p, model, list, "checks", i))
			continue;
		(void)get_name(&p, "name", false, 0, &c->name);
		(void)get_name(&p, "column", true, LIMIT_NAME_BYTES, &c->column);
		c->values = get_strings(&p, "values", &c->n_values);
		leave(&p, false);
	}
}

static void parse_relation(struct parse *p, struct relation_decl *r)
{
	struct str kind = STR_NONE;
	size_t i;

	r->pointer = p->pointer;
	(void)member(p, "derived");
	(void)get_name(p, "name", true, MODEL_NAME_BYTES, &r->name);
	(void)get_name(p, "target", true, MODEL_NAME_BYTES, &r->target);
	(void)get_name(p, "column", false, LIMIT_NAME_BYTES, &r->column);
	(void)get_name(p, "through", false, LIMIT_NAME_BYTES, &r->through);
	(void)get_name(p, "source_column", false, LIMIT_NAME_BYTES, &r->source_column);
	(void)get_name(p, "target_column", false, LIMIT_NAME_BYTES, &r->target_column);
	(void)get_name(p, "kind", true, 0, &kind);
	leave(p, true);
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
	const json_t *list = get_array(model, "relations", LIMIT_MODELS);
	struct relation_decl *decls;
	struct parse p;

	if (list == NULL || json_array_size(list) == 0)
		return;
	model->d->decls = decls = arena_array(model->b->scratch, json_array_size(list), sizeof(*decls));
	for (size_t i = 0; i < json_array_size(list); i++) {
		if (!enter(&p, model, list, "relations", i) || json_is_true(json_object_get(p.obj, "derived")))
			continue;
		parse_relation(&p, &decls[model->d->n_decls++]);
	}
}

/* Of an answer that comes back they say nothing, either: the request says which set it is about. */
static void parse_sets(struct parse *p)
{
	struct arena *a = p->b->arena;
	const json_t *set = member(p, "set"), *list = member(p, "sets");
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

	(void)get_name(p, "schema", false, LIMIT_NAME_BYTES, &m->schema_name);
	if (get_name(p, "kind", false, 0, &kind) && !model_kind_from_name(kind, &m->kind))
		parse_fault(p, "kind", "must be table, partitioned, view, materialized_view, foreign_table or virtual");
	if (get_bool(p, "writable", &writable))
		m->read_only = !writable;
	else
		m->read_only = m->kind == MODEL_VIEW || m->kind == MODEL_MATERIALIZED_VIEW;
	if (member(p, "excluded") != NULL)
		m->excluded = get_strings(p, "excluded", &m->n_excluded);
	if (member(p, "key") == NULL)
		return;
	m->key = get_strings(p, "key", &m->n_key);
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
	(void)get_name(&p, "model_name", true, MODEL_NAME_BYTES, &d->m->name);
	(void)get_name(&p, "table_name", false, LIMIT_NAME_BYTES, &d->m->table);
	parse_kind(&p);
	parse_columns(&p);
	parse_foreign_keys(&p);
	parse_indexes(&p, "indexes", false, &d->m->indexes, &d->m->n_indexes);
	parse_indexes(&p, "uniques", true, &d->m->uniques, &d->m->n_uniques);
	parse_checks(&p);
	parse_relations(&p);
	parse_sets(&p);
	(void)member(&p, "origin"); /* ours, of an answer that comes back: says nothing here */
	leave(&p, false);
}
