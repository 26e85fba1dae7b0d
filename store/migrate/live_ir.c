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
static struct str db_type_of(const struct live_builder *b, enum storage_type st, int64_t length, struct str type)
{
	int64_t digits, places;
	static const char *const words[] = {
		[ST_SMALLINT] = "smallint", [ST_BIGINT] = "bigint",       [ST_TEXT] = "text",
		[ST_UUID] = "uuid",         [ST_TIMESTAMP] = "timestamp", [ST_TIME] = "time",
		[ST_JSONB] = "jsonb",       [ST_UNRESOLVED] = NULL,       [ST_TIMESTAMPTZ] = "timestamptz",
	};

	if (length > 0 && (st == ST_VARCHAR || st == ST_CHAR))
		return arena_printf(b->a, "%s(%lld)", st == ST_VARCHAR ? "varchar" : "char", (long long)length);
	if (b->d->id == DIALECT_POSTGRES && st == ST_NUMERIC && ddl_numeric_places(type, &digits, &places))
		return arena_printf(b->a, "numeric(%lld,%lld)", (long long)digits, (long long)places);
	if (b->d->id == DIALECT_POSTGRES &&
	    (st == ST_TIMESTAMP || st == ST_TIMESTAMPTZ || st == ST_DATETIME_LOGICAL || st == ST_TIME) &&
	    ddl_time_places(type) < ddl_time_places(STR_NONE))
		return arena_printf(b->a, "%s(%lld)",
				    st == ST_TIME        ? "time"
				    : st == ST_TIMESTAMP ? "timestamp"
							 : "timestamptz",
				    (long long)ddl_time_places(type));
	if (b->d->id == DIALECT_POSTGRES && st == ST_DOUBLE && ddl_single_precision(type))
		return STR("real");
	return str_z(words[st]);
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
	struct str rule = STR_NONE;

	for (size_t i = 0; i < t->n_indexes; i++) {
		const struct live_index *x = &t->indexes[i];

		if (x->unique || x->partial || x->expression || x->special || x->invalid || x->n_columns != 1 ||
		    !live_name_eq(b->d, x->columns[0], c->name))
			continue;
		if (rule.p == NULL)
			rule = schema_artifact_name(b->a, ARTIFACT_INDEX, t->name, &c->name, 1);
		if (str_eq(x->name, rule))
			return true;
	}
	return false;
}

/* Text that the table takes only when it is JSON. */
static bool is_json(const struct live_builder *b, const struct live_table *t, const struct live_column *c)
{
	struct str plain, or_null;

	if (b->d->id != DIALECT_SQLITE || t->n_checks == 0)
		return false;
	plain = arena_printf(b->a, "json_valid(\"%.*s\")", STR_FMT(c->name));
	or_null = arena_printf(b->a, "json_valid(\"%.*s\") OR \"%.*s\" IS NULL", STR_FMT(c->name), STR_FMT(c->name));
	for (size_t i = 0; i < t->n_checks; i++)
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

	if (c->sequence.p == NULL || !live_name_fits(c->sequence) ||
	    (c->sequence_schema.p != NULL && !live_name_fits(c->sequence_schema)))
		return;
	sequence = json_object();
	live_set(sequence, "name", live_text(c->sequence));
	if (c->sequence_schema.p != NULL)
		live_set(sequence, "schema", live_text(c->sequence_schema));
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

static bool is_time(enum logical_type lt)
{
	return lt == LT_DATETIME || lt == LT_DATE || lt == LT_TIME;
}

/* Of a column declared as one of uuids. */
static void note_uuids(struct live_builder *b, const struct live_table *t, const struct live_column *c)
{
	enum storage_type st;
	int64_t length;

	if (b->d->id == DIALECT_SQLITE && str_eq_z(c->spelling, "string") &&
	    live_type_storage(b->d, c->type, &st, &length) && st == ST_UUID_LOGICAL)
		ddl_plan_warn(b->notes, "mixed_uuids", t->name, c->name,
			      "%.*s.%.*s: uuids are written in more than one way there (with hyphens, without, in "
			      "capitals): they are strings, each found by the text that is stored",
			      STR_FMT(t->name), STR_FMT(c->name));
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
	const struct str db_type = own || c->native_enum ? STR_NONE : db_type_of(b, st, length, c->type);

	live_set(o, "name", live_text(c->name));
	live_set(o, "logical_type", json_string(logical_type_name(lt)));
	live_set(o, "nullable", json_boolean(c->nullable));
	live_set(o, "primary_key", json_boolean(c->pk_position > 0));
	live_set(o, "autoincrement", json_boolean(counts));
	live_set(o, "unique", json_boolean(live_inline_unique(b, t, c->name)));
	live_set(o, "index", json_boolean(indexed_by_rule(b, t, c)));
	live_set(o, "default", live_fill_default(b->a, c, lt));
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
	if (c->spelling.p != NULL && (is_time(lt) || lt == LT_UUID || lt == LT_BOOLEAN))
		live_set(o, "spelling", live_text(c->spelling));
	if (c->spelling.p != NULL && is_time(lt))
		note_order(b, t, c);
	note_uuids(b, t, c);
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

	live_set(o, "model_name", live_text(live_choice_name(b->a, b->d, b->live, b->o, t, &b->models)));
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

/* NULL: the table stays out. */
static json_t *table_ir(struct live_builder *b, const struct live_table *t)
{
	if (!live_choice_has(b->d, b->o, t)) {
		/* what nobody has asked for by kind is named, so that it is known to be there */
		if (b->o->kinds == 0 && b->o->tables == NULL && !model_kind_is_table(t->kind) &&
		    !live_choice_excludes(b->d, b->o, t, STR_NONE))
			ddl_plan_warn(b->notes, "not_introspected", t->name, STR_NONE,
				      "%.*s is a %s table: it becomes a model when \"kinds\" or \"tables\" names it",
				      STR_FMT(t->name), t->kind == MODEL_FOREIGN_TABLE ? "foreign" : "virtual");
		return NULL;
	}
	if (t->unreadable.p != NULL)
		ddl_plan_warn(b->notes, "not_readable", t->name, STR_NONE,
			      "%.*s cannot be read here and is left out: %.*s", STR_FMT(t->name),
			      STR_FMT(t->unreadable));
	else if (live_name_fits(t->name) && t->n_columns > 0 && t->n_columns <= LIMIT_COLUMNS)
		return model_ir(b, t);
	else
		live_note(b, t->name, STR_NONE, STR_NONE, "has no columns, or a name that is too long");
	return NULL;
}

void live_ir_tables(struct arena *a, const struct live_ir_options *o, const struct str **ret, size_t *ret_n)
{
	struct str *names;
	size_t n = 0;

	*ret_n = 0;
	if (o->tables == NULL)
		return;
	names = arena_array(a, o->n_tables + o->n_names + 8, sizeof(*names));
	for (size_t i = 0; i < o->n_tables; i++)
		names[n++] = o->tables[i];
	for (size_t i = 0; i < o->n_names; i++)
		names[n++] = o->names[i].table;
	for (size_t i = 0; live_fill_marks[i] != NULL && i < 8; i++)
		names[n++] = str_z(live_fill_marks[i]);
	*ret = names;
	*ret_n = n;
}

static void close_ir(void *arg)
{
	struct live_builder *b = arg;

	map_done(&b->models);
	map_done(&b->names);
}

bool live_ir_open(struct arena *a, const struct dialect *d, const struct live_schema *live,
		  const struct live_ir_options *o, struct ddl_plan *notes, struct live_builder **ret, struct err *err)
{
	static char mark;
	struct live_builder *b;

	if (!live_choice_check(d, live, o, err))
		return false;
	b = arena_alloc(a, sizeof(*b));
	*b = (struct live_builder){.a = a, .d = d, .live = live, .o = o, .notes = notes};
	live_fill_init(&b->fill, d, live);
	map_init(&b->names);
	map_init(&b->models);
	arena_on_done(a, close_ir, b);
	for (size_t i = 0; i < live->n_tables; i++)
		map_put(&b->names, model_place(a, live->tables[i].schema_name, live->tables[i].name), &mark);
	*ret = b;
	return true;
}

json_t *live_ir_next(struct live_builder *b)
{
	const struct live_schema *l = b->live;
	json_t *model = NULL;

	while (model == NULL && b->next < l->n_tables + l->n_views) {
		const size_t i = b->next++;

		wait_may_step_aside();
		model = table_ir(b, i < l->n_tables ? &l->tables[i] : &l->views[i - l->n_tables]);
	}
	return model;
}

static void decref_cleanup(void *arg)
{
	json_decref(arg);
}

bool live_ir(struct arena *a, const struct dialect *d, const struct live_schema *live, const struct live_ir_options *o,
	     struct ddl_plan *notes, json_t **ret, struct err *err)
{
	json_t *payload, *models, *m;
	struct live_builder *b;

	if (!live_ir_open(a, d, live, o, notes, &b, err))
		return false;
	payload = json_object();
	models = json_array();
	while ((m = live_ir_next(b)) != NULL)
		(void)json_array_append_new(models, m);
	live_set(payload, "models", models);
	arena_on_done(a, decref_cleanup, payload);
	*ret = payload;
	return true;
}
