/* See live_fill.h. */
#include "store/migrate/live_fill.h"

#include "service/base/num.h"
#include "store/migrate/live_literal.h"

#include "service/base/banned.h"

const char *const live_fill_marks[] = {"schema_migrations", "ar_internal_metadata", "_prisma_migrations", NULL};

void live_fill_init(struct live_fill *f, const struct dialect *d, const struct live_schema *live)
{
	*f = (struct live_fill){.d = d};
	f->rails = live_find_table(d, live, STR("schema_migrations")) != NULL &&
		   live_find_table(d, live, STR("ar_internal_metadata")) != NULL;
	f->prisma = live_find_table(d, live, STR("_prisma_migrations")) != NULL;
}

/* SQLite's rowid by another name: the only primary key column, of type INTEGER, that needs no index of its own. NULL
 * means the next one there, whatever the column says of NULL. */
static bool is_rowid(const struct live_fill *f, const struct live_table *t, const struct live_column *c)
{
	if (f->d->id != DIALECT_SQLITE || c->pk_position == 0 || !str_ieq_z(c->type, "integer"))
		return false;
	for (size_t i = 0; i < t->n_columns; i++)
		if (&t->columns[i] != c && t->columns[i].pk_position > 0)
			return false;
	for (size_t i = 0; i < t->n_indexes; i++)
		if (t->indexes[i].origin == LIVE_INDEX_PRIMARY)
			return false;
	return true;
}

/* DEFAULT NULL is what every column has. */
static bool has_default(const struct live_column *c)
{
	struct literal l;

	return c->default_text.p != NULL && !(literal_read(c->default_text, &l) && l.kind == LITERAL_NULL);
}

static void set(json_t *o, const char *key, json_t *v)
{
	(void)json_object_set_new(o, key, v);
}

static void set_text(json_t *o, const char *key, struct str s)
{
	if (s.p != NULL && str_is_utf8(s))
		set(o, key, json_stringn(s.p, s.len));
}

static bool is_named(const struct live_column *c, const char *const *names)
{
	for (; *names != NULL; names++)
		if (str_eq_z(c->name, *names))
			return true;
	return false;
}

static bool of_time(const json_t *column)
{
	const char *type = json_string_value(json_object_get(column, "logical_type"));

	return type != NULL && (str_eq_z(str_z(type), "datetime") || str_eq_z(str_z(type), "date"));
}

/* What the tool that made the table would fill by itself. Where Prisma has pushed its tables, and in those of its like,
 * nothing but the names tells: in their spelling, required, and without a default. */
static void propose(const struct live_fill *f, const struct live_column *c, json_t *o)
{
	static const char *const made[] = {"created_at", "created_on", NULL};
	static const char *const changed[] = {"updated_at", "updated_on", NULL};
	static const char *const prisma_changed[] = {"updatedAt", "updated_at", NULL};
	const bool update = (f->rails && is_named(c, changed)) || (f->prisma && is_named(c, prisma_changed)) ||
			    (!c->nullable && str_eq_z(c->name, "updatedAt"));
	const bool create = (f->rails && is_named(c, made)) || (!c->nullable && str_eq_z(c->name, "createdAt"));
	const char *type = json_string_value(json_object_get(o, "logical_type"));

	if ((create || update) && of_time(o) && !has_default(c)) {
		set(o, "on_create", json_string("now"));
		if (update)
			set(o, "on_update", json_string("now"));
	}
	if (f->rails && str_eq_z(c->name, "lock_version") && type != NULL && str_eq_z(str_z(type), "integer"))
		set(o, "lock_version", json_true());
}

void live_fill_ir(const struct live_fill *f, const struct live_table *t, const struct live_column *c, json_t *column)
{
	const bool counts = json_is_true(json_object_get(column, "autoincrement"));

	if (c->generated) {
		set(column, "generated", json_string("always"));
		set_text(column, "default_sql", c->generation);
		if (c->generated_virtual)
			set(column, "stored", json_false());
	} else if (c->identity) {
		set(column, "generated", json_string(c->identity_always ? "identity_always" : "identity"));
	} else if (has_default(c)) {
		set(column, "database_default", json_true());
		/* of a counting key it is the sequence's name, which comes with the key */
		if (!counts)
			set_text(column, "default_sql", c->default_text);
	} else if (counts || is_rowid(f, t, c)) {
		set(column, "database_default", json_true());
	}
	set(column, "position", json_integer((json_int_t)(c - t->columns) + 1));
	if (!c->generated && c->pk_position == 0)
		propose(f, c, column);
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

json_t *live_fill_default(struct arena *a, const struct live_column *c, enum logical_type t)
{
	struct literal l;
	struct str s;

	if (c->default_text.p == NULL || c->autoincrement || c->generated || !literal_read(c->default_text, &l) ||
	    l.kind == LITERAL_NULL)
		return json_null();
	s = literal_text(a, &l);
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
		return json_stringn(s.p, s.len);
	case LT_JSON: {
		struct err ignored;
		json_t *v;

		return json_parse(a, s, &v, &ignored) ? json_incref(v) : json_null();
	}
	case LT_BINARY:
	case LT_UNKNOWN:
		break;
	}
	return json_null();
}
