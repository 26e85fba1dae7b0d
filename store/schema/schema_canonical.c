/* The canonical order, the canonical JSON with and without our additions, and the fingerprint over the latter. */
#include "store/schema/schema_build.h"

#include <stdlib.h>

#include "service/base/mutex.h"
#include "service/base/num.h"
#include "service/base/wait.h"

#include "service/base/banned.h"

static int by_column(const void *x, const void *y)
{
	return str_cmp(((const struct column *)x)->name, ((const struct column *)y)->name);
}

static int by_index(const void *x, const void *y)
{
	return str_cmp(((const struct schema_index *)x)->name, ((const struct schema_index *)y)->name);
}

static int by_check(const void *x, const void *y)
{
	return str_cmp(((const struct schema_check *)x)->name, ((const struct schema_check *)y)->name);
}

static int by_fk(const void *x, const void *y)
{
	const struct foreign_key *f = x, *g = y;
	int order = str_cmp(f->column, g->column);

	if (order == 0)
		order = str_cmp(f->to_table, g->to_table);
	if (order == 0)
		order = str_cmp(f->to_column, g->to_column);
	return order != 0 ? order : str_cmp(f->name, g->name);
}

static int by_model(const void *x, const void *y)
{
	return str_cmp(((const struct draft *)x)->m->name, ((const struct draft *)y)->m->name);
}

static void sort(void *base, size_t n, size_t size, int (*cmp)(const void *, const void *))
{
	if (n > 1)
		qsort(base, n, size, cmp);
}

static bool in_key(const struct model *m, struct str column)
{
	for (size_t i = 0; i < m->n_key; i++)
		if (str_eq(m->key[i], column))
			return true;
	return false;
}

static struct str json_name(struct arena *a, struct str name)
{
	struct str text;
	struct strbuf b;

	strbuf_init(&b, 0);
	strbuf_json_string(&b, name);
	strbuf_putc(&b, ':');
	text = arena_str(a, strbuf_str(&b));
	strbuf_done(&b);
	return text;
}

/* Numbers the sorted columns, lists the primary key and fills the look-up. m stands where it stays. */
static void settle(struct schema *s, struct model *m)
{
	static uint64_t serials;

	m->schema = s;
	m->serial = __atomic_add_fetch(&serials, 1, __ATOMIC_RELAXED);
	m->pk = arena_array(&s->arena, m->n_columns, sizeof(struct column *));
	map_init(&m->columns_by_name);
	for (size_t i = 0; i < m->n_columns; i++) {
		m->columns[i].index = i;
		m->columns[i].json_name = json_name(&s->arena, m->columns[i].name);
		if (m->n_key > 0 ? in_key(m, m->columns[i].name) : m->columns[i].primary_key)
			m->pk[m->n_pk++] = &m->columns[i];
		map_put(&m->columns_by_name, m->columns[i].name, &m->columns[i]);
	}
}

void schema_sort(struct schema_build *b)
{
	struct schema *s = b->s;

	sort(b->drafts, b->n, sizeof(*b->drafts), by_model);
	s->models = arena_array(b->arena, b->n, sizeof(*s->models));
	map_done(&b->by_table); /* its values have moved */
	for (size_t i = 0; i < b->n; i++) {
		struct model *m = &s->models[i];

		wait_may_step_aside();
		*m = *b->drafts[i].m;
		b->drafts[i].m = m;
		for (size_t k = 0; k < m->n_columns; k++)
			m->columns[k].home = m->columns[k].home != NULL ? m : NULL;
		sort(m->columns, m->n_columns, sizeof(*m->columns), by_column);
		sort(m->retired, m->n_retired, sizeof(*m->retired), by_column);
		sort(m->fks, m->n_fks, sizeof(*m->fks), by_fk);
		sort(m->indexes, m->n_indexes, sizeof(*m->indexes), by_index);
		sort(m->uniques, m->n_uniques, sizeof(*m->uniques), by_index);
		sort(m->checks, m->n_checks, sizeof(*m->checks), by_check);
		sort(m->exclusions, m->n_exclusions, sizeof(*m->exclusions), by_index);
		settle(s, m);
		s->n_models++;
		map_put(&s->by_name, m->name, m);
		map_put(&s->by_table, m->place, m);
		map_put(&b->by_table, m->place, &b->drafts[i]);
	}
}

/* ---- JSON -------------------------------------------------------------------------------------------- */

static json_t *text(struct str s)
{
	return s.p != NULL ? json_stringn(s.p, s.len) : json_null();
}

static void set_text(json_t *o, const char *key, struct str s)
{
	(void)json_object_set_new(o, key, text(s));
}

static void set_given(json_t *o, const char *key, struct str s)
{
	if (s.p != NULL)
		set_text(o, key, s);
}

static void set_bool(json_t *o, const char *key, bool v)
{
	(void)json_object_set_new(o, key, json_boolean(v));
}

/* A reference to a tree that the schema's arena keeps; jansson wants it without const. */
static json_t *share(const json_t *v)
{
	return v != NULL ? json_incref((json_t *)(uintptr_t)v) : json_null();
}

static json_t *texts(const struct str *list, size_t n)
{
	json_t *a = json_array();

	for (size_t i = 0; i < n; i++)
		(void)json_array_append_new(a, text(list[i]));
	return a;
}

static void set_true(json_t *o, const char *key, bool v)
{
	if (v)
		set_bool(o, key, true);
}

static void set_fill(json_t *o, const struct column_fill *f)
{
	set_true(o, "database_default", f->database_default);
	set_given(o, "default_sql", f->default_sql);
	if (f->generated != GENERATED_NOT)
		(void)json_object_set_new(o, "generated", json_string(column_generated_name(f->generated)));
	if (f->computed_on_read)
		set_bool(o, "stored", false);
	set_true(o, "read_only", f->read_only);
	if (f->now_on_create)
		(void)json_object_set_new(o, "on_create", json_string("now"));
	if (f->now_on_update)
		(void)json_object_set_new(o, "on_update", json_string("now"));
	set_true(o, "lock_version", f->lock_version);
	if (f->position > 0)
		(void)json_object_set_new(o, "position", json_integer(f->position));
}

static void set_sequence(json_t *o, const struct column *c)
{
	json_t *sequence;

	if (c->sequence.p == NULL)
		return;
	sequence = json_object();
	set_text(sequence, "name", c->sequence);
	if (c->sequence_schema.p != NULL)
		set_text(sequence, "schema", c->sequence_schema);
	if (c->sequence_start != 0)
		(void)json_object_set_new(sequence, "start", json_integer(c->sequence_start));
	if (c->sequence_increment != 0)
		(void)json_object_set_new(sequence, "increment", json_integer(c->sequence_increment));
	(void)json_object_set_new(o, "sequence", sequence);
}

/* What is said of a model: what the reference knows; that and our additions; or so much of it that it reads back the
 * same. */
enum form { FORM_PLAIN, FORM_FULL, FORM_SHORT };

/* The members that every column has. */
static void set_column(json_t *o, const struct column *c)
{
	set_bool(o, "primary_key", c->primary_key);
	set_bool(o, "autoincrement", c->autoincrement);
	set_bool(o, "unique", c->unique);
	set_bool(o, "index", c->index_flag);
	(void)json_object_set_new(o, "default", share(c->default_value));
	set_text(o, "format", c->format);
}

/* A key's autoincrement is said in any case: where it is left out, it may be completed. */
static void set_column_short(json_t *o, const struct column *c)
{
	set_true(o, "primary_key", c->primary_key);
	if (c->primary_key || c->autoincrement)
		set_bool(o, "autoincrement", c->autoincrement);
	set_true(o, "unique", c->unique);
	set_true(o, "index", c->index_flag);
	if (c->default_value != NULL)
		(void)json_object_set_new(o, "default", share(c->default_value));
	set_given(o, "format", c->format);
}

static void set_history(json_t *o, const struct column *c)
{
	set_given(o, "renamed_from", c->renamed_from);
	set_given(o, "default_factory", c->default_factory);
	set_true(o, "retired", c->retired);
	if (c->renamed_labels != NULL)
		(void)json_object_set_new(o, "enum_renamed_labels", share(c->renamed_labels));
	if (c->retired_labels != NULL)
		(void)json_object_set_new(o, "enum_retired_labels", share(c->retired_labels));
}

static json_t *column_json(const struct column *c, enum form form)
{
	json_t *o = json_object();

	set_text(o, "name", c->name);
	set_text(o, "logical_type", c->logical_word);
	set_bool(o, "nullable", c->nullable);
	(form == FORM_SHORT ? set_column_short : set_column)(o, c);
	set_given(o, "db_type", c->db_type);
	if (c->has_db_type_explicit)
		set_bool(o, "db_type_explicit", c->db_type_explicit);
	if (c->enum_values != NULL)
		(void)json_object_set_new(o, "enum_values", share(c->enum_values));
	set_given(o, "enum_type_name", c->enum_type_name);
	if (c->has_postgres_native_enum)
		set_bool(o, "postgres_native_enum", c->postgres_native_enum);
	if (form != FORM_PLAIN) {
		set_fill(o, &c->fill);
		set_given(o, "sqlite_type", c->sqlite_type);
		set_sequence(o, c);
		set_given(o, "collation", c->collation);
		set_given(o, "comment", c->comment);
		set_history(o, c);
		if (c->type_json != NULL)
			(void)json_object_update(o, (json_t *)(uintptr_t)c->type_json);
		if (c->uuid_hex || c->uuid_bytes)
			(void)json_object_set_new(o, "spelling", json_string(c->uuid_hex ? "hex" : "bytes"));
		if (c->bool_words)
			(void)json_object_set_new(o, "spelling", json_string("words"));
		if (c->spelling != TIME_FERROD)
			(void)json_object_set_new(o, "spelling", json_string(time_spelling_name(c->spelling)));
	}
	return o;
}

static void set_deferral(json_t *o, bool deferrable, bool deferred)
{
	set_true(o, "deferrable", deferrable);
	set_true(o, "initially_deferred", deferred);
}

static json_t *fk_json(const struct foreign_key *fk, bool additions)
{
	json_t *o = json_object();

	set_text(o, "column", fk->column);
	set_text(o, "to_table", fk->to_table);
	set_text(o, "to_column", fk->to_column);
	set_text(o, "on_delete", fk->on_delete);
	set_text(o, "name", fk->name);
	if (!additions)
		return o;
	if (fk->n_columns > 1) {
		(void)json_object_set_new(o, "columns", texts(fk->columns, fk->n_columns));
		(void)json_object_set_new(o, "to_columns", texts(fk->to_columns, fk->n_columns));
	}
	set_given(o, "on_update", fk->on_update);
	set_given(o, "match", fk->match);
	set_deferral(o, fk->deferrable, fk->deferred);
	set_given(o, "related_name", fk->related_name);
	set_given(o, "to_schema", fk->to_schema);
	return o;
}

static json_t *key_json(const struct index_key *k)
{
	json_t *o = json_object();

	set_given(o, "column", k->column);
	set_given(o, "expression", k->expression);
	set_true(o, "descending", k->descending);
	if (k->nulls != INDEX_NULLS_NATIVE)
		(void)json_object_set_new(o, "nulls", json_string(k->nulls == INDEX_NULLS_FIRST ? "first" : "last"));
	set_given(o, "collation", k->collation);
	set_given(o, "operator_class", k->op_class);
	set_given(o, "operator", k->operator);
	return o;
}

static json_t *index_json(const struct schema_index *x, bool with_unique, bool additions)
{
	json_t *o = json_object();

	set_text(o, "name", x->name);
	(void)json_object_set_new(o, "columns", texts(x->columns, x->n_columns));
	if (with_unique)
		set_bool(o, "unique", x->unique);
	if (!additions)
		return o;
	if (x->keys != NULL) {
		json_t *keys = json_array();

		for (size_t i = 0; i < x->n_keys; i++)
			(void)json_array_append_new(keys, key_json(&x->keys[i]));
		(void)json_object_set_new(o, "keys", keys);
	}
	if (x->n_include > 0)
		(void)json_object_set_new(o, "include", texts(x->include, x->n_include));
	set_given(o, "where", x->predicate);
	set_given(o, "method", x->method);
	set_true(o, "nulls_not_distinct", x->nulls_not_distinct);
	set_true(o, "constraint", x->constraint);
	set_deferral(o, x->deferrable, x->deferred);
	return o;
}

static json_t *check_json(const struct schema_check *c)
{
	json_t *o = json_object();

	set_text(o, "name", c->name);
	if (c->expression.p != NULL) {
		set_text(o, "expression", c->expression);
		return o;
	}
	set_text(o, "column", c->column);
	(void)json_object_set_new(o, "values", texts(c->values, c->n_values));
	return o;
}

/* What the reference's form can say of it, less perhaps than there is. */
static bool is_sayable(const struct schema_index *x)
{
	return x->keys == NULL && x->predicate.p == NULL && x->method.p == NULL;
}

static json_t *indexes_json(const struct schema_index *list, size_t n, bool with_unique, bool additions)
{
	json_t *a = json_array();

	for (size_t i = 0; i < n; i++)
		if (additions || is_sayable(&list[i]))
			(void)json_array_append_new(a, index_json(&list[i], with_unique, additions));
	return a;
}

static json_t *relation_json(const struct relation *r)
{
	json_t *o = json_object();

	set_text(o, "name", r->name);
	(void)json_object_set_new(o, "kind", json_string(relation_kind_name(r->kind)));
	set_text(o, "target", r->target_name);
	set_given(o, "column", r->column);
	if (r->n_columns > 1)
		(void)json_object_set_new(o, "columns", texts(r->columns, r->n_columns));
	set_given(o, "through", r->through);
	set_given(o, "source_column", r->source_column);
	set_given(o, "target_column", r->target_column);
	if (!r->declared)
		set_bool(o, "derived", true);
	return o;
}

/* What only its database says of a table. */
static void set_table(json_t *o, const struct model *m)
{
	if (m->n_exclusions > 0)
		(void)json_object_set_new(o, "exclusions", indexes_json(m->exclusions, m->n_exclusions, false, true));
	if (m->ir_version >= 3)
		(void)json_object_set_new(o, "ir_version", json_integer(m->ir_version));
	set_given(o, "renamed_from", m->renamed_from);
	set_given(o, "comment", m->comment);
	set_true(o, "strict", m->strict);
	set_true(o, "without_rowid", m->without_rowid);
}

static json_t *model_json(const struct model *m, enum form form)
{
	const bool additions = form != FORM_PLAIN;
	json_t *o = json_object(), *columns = json_array(), *fks = json_array(), *checks = json_array();

	for (size_t i = 0; i < m->n_columns; i++)
		(void)json_array_append_new(columns, column_json(&m->columns[i], form));
	for (size_t i = 0; i < m->n_retired; i++)
		(void)json_array_append_new(columns, column_json(&m->retired[i], form));
	for (size_t i = 0; i < m->n_fks; i++)
		if (additions || m->fks[i].n_columns <= 1)
			(void)json_array_append_new(fks, fk_json(&m->fks[i], additions));
	for (size_t i = 0; i < m->n_checks; i++)
		if (additions || m->checks[i].expression.p == NULL)
			(void)json_array_append_new(checks, check_json(&m->checks[i]));
	set_text(o, "model_name", m->name);
	set_text(o, "table_name", m->table);
	(void)json_object_set_new(o, "columns", columns);
	(void)json_object_set_new(o, "foreign_keys", fks);
	(void)json_object_set_new(o, "indexes", indexes_json(m->indexes, m->n_indexes, true, additions));
	(void)json_object_set_new(o, "uniques", indexes_json(m->uniques, m->n_uniques, false, additions));
	(void)json_object_set_new(o, "checks", checks);
	if (additions && (m->n_sets > 1 || m->sets[0].len > 0))
		set_text(o, "set", m->sets[0]);
	if (additions && m->n_sets > 1)
		(void)json_object_set_new(o, "sets", texts(m->sets, m->n_sets));
	if (additions) {
		json_t *relations = json_array();

		for (size_t i = 0; i < m->n_relations; i++)
			(void)json_array_append_new(relations, relation_json(&m->relations[i]));
		(void)json_object_set_new(o, "relations", relations);
		set_given(o, "schema", m->schema_name);
		if (m->kind != MODEL_TABLE)
			(void)json_object_set_new(o, "kind", json_string(model_kind_name(m->kind)));
		if (m->kind != MODEL_TABLE || m->read_only)
			set_bool(o, "writable", !m->read_only);
		if (m->n_excluded > 0)
			(void)json_object_set_new(o, "excluded", texts(m->excluded, m->n_excluded));
		if (m->n_key > 0)
			(void)json_object_set_new(o, "key", texts(m->key, m->n_key));
		set_table(o, m);
		if (m->origin != NULL)
			(void)json_object_set_new(o, "origin", json_string(m->origin));
	}
	return o;
}

json_t *schema_model_json(const struct model *m)
{
	return model_json(m, FORM_FULL);
}

json_t *schema_model_short_json(const struct model *m)
{
	return model_json(m, FORM_SHORT);
}

/* What goes around the models; members are sorted by name. */
static void put_opening(struct strbuf *b, const struct schema *s)
{
	strbuf_printf(b, "\"ir_kind\":\"schema\",\"ir_version\":1,\"payload\":{\"dialect_agnostic\":%s,\"models\":[",
		      s->dialect_agnostic ? "true" : "false");
}

/* Only some ask for it, and it costs as much as all else of a set, so that a start need not wait for it. */
struct schema_print {
	int made; /* atomic */
	struct mutex lock;
	char hex[65];
};

static void print_done(void *print)
{
	mutex_done(&((struct schema_print *)print)->lock);
}

/* A tree a model, so that there is never one of all of them. */
static void make_print(const struct schema *s, char ret[65])
{
	struct num_sha256 sum;
	struct strbuf b;
	uint8_t digest[32];

	num_sha256_init(&sum);
	strbuf_init(&b, 0);
	strbuf_putc(&b, '{');
	put_opening(&b, s);
	for (size_t i = 0; i < s->n_models; i++) {
		json_t *m = model_json(&s->models[i], FORM_PLAIN);

		wait_may_step_aside();
		if (i > 0)
			strbuf_putc(&b, ',');
		json_write_canonical(&b, m);
		json_decref(m);
		num_sha256_add(&sum, strbuf_str(&b));
		strbuf_reset(&b);
	}
	strbuf_puts(&b, "]}}");
	num_sha256_add(&sum, strbuf_str(&b));
	num_sha256_end(&sum, digest);
	num_hex(digest, sizeof(digest), ret);
	strbuf_done(&b);
}

/* Made without the lock, since it may step aside; two that ask at once make the same. */
const char *schema_fingerprint(const struct schema *s)
{
	struct schema_print *p = s->print;
	char hex[65];

	if (__atomic_load_n(&p->made, __ATOMIC_ACQUIRE) == 0) {
		make_print(s, hex);
		mutex_lock(&p->lock);
		if (p->made == 0)
			memcpy(p->hex, hex, sizeof(hex));
		__atomic_store_n(&p->made, 1, __ATOMIC_RELEASE);
		mutex_unlock(&p->lock);
	}
	return p->hex;
}

static bool same_model(const struct model *x, const struct model *y)
{
	json_t *a = schema_model_json(x), *b = schema_model_json(y);

	/* where it comes from says nothing of what it is */
	(void)json_object_del(a, "origin");
	(void)json_object_del(b, "origin");
	const bool same = json_equal(a, b) != 0;
	json_decref(a);
	json_decref(b);
	return same;
}

bool schema_same(const struct schema *a, const struct schema *b)
{
	bool same = a->n_models == b->n_models;

	for (size_t i = 0; same && a != b && i < a->n_models; i++)
		same = same_model(&a->models[i], &b->models[i]);
	return same;
}

void schema_write(struct strbuf *b, const struct schema *s, void (*seen)(void *arg, json_t *model), void *arg)
{
	strbuf_printf(b, "{\"fingerprint\":\"%s\",", schema_fingerprint(s));
	put_opening(b, s);
	for (size_t i = 0; i < s->n_models; i++) {
		json_t *m = schema_model_json(&s->models[i]);

		wait_may_step_aside();
		if (i > 0)
			strbuf_putc(b, ',');
		if (seen != NULL)
			seen(arg, m);
		json_write(b, m, true);
		json_decref(m);
	}
	strbuf_puts(b, "]}}");
}

void schema_finish(struct schema_build *b)
{
	struct schema_print *p = arena_alloc(&b->s->arena, sizeof(*p));

	mutex_init(&p->lock);
	arena_on_done(&b->s->arena, print_done, p);
	b->s->print = p;
}
