/* Live tables -> models. What comes out is such that tables made from it read back as the same models. */
#include "store/migrate/live_ir.h"

#include <stdio.h>
#include <string.h>

#include "service/base/limits.h"
#include "service/base/map.h"
#include "service/base/num.h"
#include "service/base/wait.h"
#include "store/codec/time_spelling.h"
#include "store/migrate/diff.h"
#include "store/migrate/live_artifacts.h"
#include "store/migrate/live_literal.h"
#include "store/migrate/live_type.h"
#include "store/schema/schema_names.h"
#include "store/schema/schema_sql.h"
#include "store/schema/schema_sql_same.h"

#include "service/base/banned.h"

/* ---- columns ----------------------------------------------------------------------------------------- */

/* The db_type where the logical type alone would mean another one. */
static struct str db_type_of(const struct live_builder *b, enum storage_type st, int64_t length)
{
	static const char *const words[] = {
		[ST_SMALLINT] = "smallint",   [ST_BIGINT] = "bigint", [ST_TEXT] = "text",   [ST_UUID] = "uuid",
		[ST_TIMESTAMP] = "timestamp", [ST_TIME] = "time",     [ST_JSONB] = "jsonb", [ST_UNRESOLVED] = NULL,
	};

	if (length > 0 && (st == ST_VARCHAR || st == ST_CHAR))
		return arena_printf(b->a, "%s(%lld)", st == ST_VARCHAR ? "varchar" : "char", (long long)length);
	return str_z(words[st]);
}

static json_t *integer_default(const struct literal *l)
{
	int64_t n;

	if (l->kind == LITERAL_BOOL)
		return json_integer(str_eq_z(l->text, "true"));
	return num_parse_int(l->text, &n) ? json_integer(n) : json_null();
}

static json_t *number_default(const struct literal *l)
{
	double v;

	return num_parse_double(l->text, &v) && __builtin_isfinite(v) ? json_real(v) : json_null();
}

static json_t *boolean_default(const struct literal *l)
{
	if (l->kind == LITERAL_BOOL)
		return json_boolean(str_eq_z(l->text, "true"));
	return str_eq_z(l->text, "1") ? json_true() : str_eq_z(l->text, "0") ? json_false() : json_null();
}

/* A literal default as the column's value; expressions are none that SchemaIR could say. */
static json_t *default_of(struct live_builder *b, const struct live_column *c, enum logical_type t)
{
	struct literal l;
	struct str s;

	if (c->default_text.p == NULL || c->autoincrement || c->generated || !literal_read(c->default_text, &l) ||
	    l.kind == LITERAL_NULL)
		return json_null();
	s = literal_text(b->a, &l);
	if (!str_is_utf8(s))
		return json_null();
	if (l.kind == LITERAL_TEXT)
		l.text = s;
	switch (t) {
	case LT_INTEGER:
		return integer_default(&l);
	case LT_NUMBER:
		return number_default(&l);
	case LT_BOOLEAN:
		return boolean_default(&l);
	case LT_DECIMAL:
	case LT_STRING:
	case LT_DATETIME:
	case LT_DATE:
	case LT_TIME:
	case LT_UUID:
		return live_text(s);
	case LT_JSON: {
		struct err ignored;
		json_t *v;

		return json_parse(b->a, s, &v, &ignored) ? json_incref(v) : json_null();
	}
	case LT_BINARY:
	case LT_UNKNOWN:
		break;
	}
	return json_null();
}

static bool is_fk(const struct live_builder *b, const struct live_table *t, struct str column)
{
	for (size_t i = 0; i < t->n_fks; i++)
		for (size_t k = 0; k < t->fks[i].n_columns; k++)
			if (live_name_eq(b->d, t->fks[i].columns[k], column))
				return true;
	return false;
}

/* The database gives the key out by itself: AUTOINCREMENT, a sequence, or SQLite's rowid where NULL means "the next
 * one". */
static bool counts_up(struct live_builder *b, const struct live_table *t, const struct live_column *c,
		      enum logical_type lt)
{
	if (live_single_pk(t) != c || lt != LT_INTEGER)
		return false;
	return c->autoincrement ||
	       (b->d->id == DIALECT_SQLITE && c->nullable && str_ieq_z(c->type, "integer") && !is_fk(b, t, c->name));
}

static void set_enum(json_t *o, const struct live_column *c)
{
	json_t *values = json_array();

	for (size_t i = 0; i < c->n_enum_values; i++)
		(void)json_array_append_new(values, live_text(c->enum_values[i]));
	live_set(o, "enum_values", values);
	live_set(o, "enum_type_name", live_text(c->type));
	live_set(o, "postgres_native_enum", json_true());
}

static bool indexed_by_rule(struct live_builder *b, const struct live_table *t, const struct live_column *c)
{
	const struct str rule = schema_artifact_name(b->a, ARTIFACT_INDEX, t->name, &c->name, 1);

	for (size_t i = 0; i < t->n_indexes; i++) {
		const struct live_index *x = &t->indexes[i];

		if (!x->unique && !x->partial && !x->expression && !x->special && !x->invalid && x->n_columns == 1 &&
		    str_eq(x->name, rule) && live_name_eq(b->d, x->columns[0], c->name))
			return true;
	}
	return false;
}

/* Text that the table takes only when it is JSON. */
static bool is_json(const struct live_builder *b, const struct live_table *t, const struct live_column *c)
{
	const struct str plain = arena_printf(b->a, "json_valid(\"%.*s\")", STR_FMT(c->name));
	const struct str or_null =
		arena_printf(b->a, "json_valid(\"%.*s\") OR \"%.*s\" IS NULL", STR_FMT(c->name), STR_FMT(c->name));

	for (size_t i = 0; b->d->id == DIALECT_SQLITE && i < t->n_checks; i++)
		if (schema_sql_same(b->d->id, t->checks[i].expression, plain) ||
		    schema_sql_same(b->d->id, t->checks[i].expression, or_null))
			return true;
	return false;
}

/* The declared type, where tables made from the model would have another. */
static void set_sqlite_type(const struct live_builder *b, const struct live_column *c, enum storage_type st,
			    int64_t length, bool counts, json_t *o)
{
	const struct column made = {.name = c->name, .storage = st, .length = length};
	struct strbuf spelling;
	struct err ignored;

	if (b->d->id != DIALECT_SQLITE || counts)
		return;
	strbuf_init(&spelling, 0);
	if ((!ddl_column_type(b->d, &made, &spelling, &ignored) || !str_ieq(strbuf_str(&spelling), c->type)) &&
	    (c->type.len == 0 || schema_sql_type_name(c->type)))
		live_set(o, "sqlite_type", live_text(c->type));
	strbuf_done(&spelling);
}

static void set_sequence(const struct live_column *c, json_t *o)
{
	json_t *sequence;

	if (c->sequence.p == NULL || !live_name_fits(c->sequence))
		return;
	sequence = json_object();
	live_set(sequence, "name", live_text(c->sequence));
	if (c->sequence_start != 1)
		live_set(sequence, "start", json_integer(c->sequence_start));
	if (c->sequence_increment != 1)
		live_set(sequence, "increment", json_integer(c->sequence_increment));
	live_set(o, "sequence", sequence);
}

/* Filters have a range that an index serves, whatever the form. */
static void note_order(struct live_builder *b, const struct live_table *t, const struct live_column *c)
{
	if (!time_spelling_sorts(time_spelling_of_name(c->spelling)))
		ddl_plan_warn(
			b->notes, "order_without_index", t->name, c->name,
			"%.*s.%.*s: times are written as %.*s there, whose order is not that of time: records are "
			"sorted by them, and no index serves that",
			STR_FMT(t->name), STR_FMT(c->name), STR_FMT(c->spelling));
}

static json_t *column_ir(struct live_builder *b, const struct live_table *t, const struct live_column *c)
{
	json_t *o = json_object();
	int64_t length = 0;
	const bool own = live_type_own(b->d, c);
	const enum storage_type st = own ? ST_UNRESOLVED : live_storage_of(b, c, &length);
	const enum logical_type lt = own                                 ? live_type_ir(b->a, c, o)
				     : st == ST_TEXT && is_json(b, t, c) ? LT_JSON
									 : logical_from_storage(st);
	const bool counts = counts_up(b, t, c, lt);
	const struct str db_type = own || c->native_enum ? STR_NONE : db_type_of(b, st, length);

	live_set(o, "name", live_text(c->name));
	live_set(o, "logical_type", json_string(logical_type_name(lt)));
	live_set(o, "nullable", json_boolean(c->nullable));
	live_set(o, "primary_key", json_boolean(c->pk_position > 0));
	live_set(o, "autoincrement", json_boolean(counts));
	live_set(o, "unique", json_boolean(live_inline_unique(b, t, c->name)));
	live_set(o, "index", json_boolean(indexed_by_rule(b, t, c)));
	live_set(o, "default", default_of(b, c, lt));
	live_set(o, "format", json_null());
	/* SQLite's counting columns are declared INTEGER, whatever their size elsewhere */
	if (db_type.p != NULL && !(counts && b->d->id == DIALECT_SQLITE))
		live_set(o, "db_type", live_text(db_type));
	if (c->native_enum)
		set_enum(o, c);
	live_fill_ir(&b->fill, t, c, o);
	set_sqlite_type(b, c, st, length, counts, o);
	set_sequence(c, o);
	if (c->collation.p != NULL && live_name_fits(c->collation))
		live_set(o, "collation", live_text(c->collation));
	if (c->comment.p != NULL && str_is_utf8(c->comment))
		live_set(o, "comment", live_text(c->comment));
	if (c->spelling.p != NULL && (lt == LT_DATETIME || lt == LT_UUID))
		live_set(o, "spelling", live_text(c->spelling));
	if (c->spelling.p != NULL && lt == LT_DATETIME)
		note_order(b, t, c);
	return o;
}

/* excluded gets the names of those that stay out. */
static json_t *columns_ir(struct live_builder *b, const struct live_table *t, json_t *excluded)
{
	json_t *list = json_array();

	for (size_t i = 0; i < t->n_columns; i++) {
		if (live_choice_excludes(b->d, b->o, t, t->columns[i].name))
			(void)json_array_append_new(excluded, live_text(t->columns[i].name));
		else if (live_name_fits(t->columns[i].name))
			(void)json_array_append_new(list, column_ir(b, t, &t->columns[i]));
		else
			live_note(b, t->name, STR_NONE, STR_NONE,
				  "has a column whose name is empty or longer than 63 bytes");
	}
	return list;
}

/* ---- tables ------------------------------------------------------------------------------------------ */

static json_t *model_ir(struct live_builder *b, const struct live_table *t)
{
	json_t *o = json_object(), *excluded = json_array();

	live_set(o, "model_name", live_text(live_choice_name(b->a, b->d, b->o, t, &b->models)));
	live_set(o, "table_name", live_text(t->name));
	if (t->schema_name.p != NULL)
		live_set(o, "schema", live_text(t->schema_name));
	if (t->kind != MODEL_TABLE) {
		live_set(o, "kind", json_string(model_kind_name(t->kind)));
		live_set(o, "writable", json_boolean(!t->read_only));
	}
	live_set(o, "columns", columns_ir(b, t, excluded));
	if (json_array_size(excluded) > 0)
		live_set(o, "excluded", excluded);
	else
		json_decref(excluded);
	live_artifacts_ir(b, t, o);
	if (t->comment.p != NULL && str_is_utf8(t->comment))
		live_set(o, "comment", live_text(t->comment));
	if (t->strict)
		live_set(o, "strict", json_true());
	if (t->without_rowid)
		live_set(o, "without_rowid", json_true());
	return o;
}

static void add_model(struct live_builder *b, const struct live_table *t, json_t *models)
{
	if (!live_choice_has(b->d, b->o, t)) {
		/* what nobody has asked for by kind is named, so that it is known to be there */
		if (b->o->kinds == 0 && b->o->tables == NULL && !model_kind_is_table(t->kind) &&
		    !live_choice_excludes(b->d, b->o, t, STR_NONE))
			ddl_plan_warn(b->notes, "not_introspected", t->name, STR_NONE,
				      "%.*s is a %s: it becomes a model when \"kinds\" or \"tables\" names it",
				      STR_FMT(t->name), model_kind_name(t->kind));
		return;
	}
	if (t->unreadable.p != NULL)
		ddl_plan_warn(b->notes, "not_readable", t->name, STR_NONE,
			      "%.*s cannot be read here and is left out: %.*s", STR_FMT(t->name),
			      STR_FMT(t->unreadable));
	else if (live_name_fits(t->name) && t->n_columns > 0 && t->n_columns <= LIMIT_COLUMNS)
		(void)json_array_append_new(models, model_ir(b, t));
	else
		live_note(b, t->name, STR_NONE, STR_NONE, "has no columns, or a name that is too long");
}

static void decref_cleanup(void *arg)
{
	json_decref(arg);
}

bool live_ir(struct arena *a, const struct dialect *d, const struct live_schema *live, const struct live_ir_options *o,
	     struct ddl_plan *notes, json_t **ret, struct err *err)
{
	struct live_builder b = {.a = a, .d = d, .live = live, .o = o, .notes = notes};
	static char mark;
	json_t *payload, *models;

	if (!live_choice_check(d, live, o, err))
		return false;
	payload = json_object();
	models = json_array();
	live_fill_init(&b.fill, d, live);
	map_init(&b.names);
	map_init(&b.models);
	for (size_t i = 0; i < live->n_tables; i++)
		map_put(&b.names, model_place(a, live->tables[i].schema_name, live->tables[i].name), &mark);
	for (size_t i = 0; i < live->n_tables; i++) {
		wait_may_step_aside();
		add_model(&b, &live->tables[i], models);
	}
	for (size_t i = 0; i < live->n_views; i++)
		add_model(&b, &live->views[i], models);
	map_done(&b.models);
	map_done(&b.names);
	live_set(payload, "models", models);
	arena_on_done(a, decref_cleanup, payload);
	*ret = payload;
	return true;
}
