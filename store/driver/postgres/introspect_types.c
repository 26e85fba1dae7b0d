/* See introspect_types.h. */
#include "store/driver/postgres/introspect_types.h"

#include "store/schema/schema_sql.h"

#include "service/base/banned.h"

/* Ranges that are built in are known by their names; an array is one by its element, which knows it. */
#define MADE "pg_catalog.pg_type e WHERE e.oid = t.typelem AND e.typarray = t.oid"
#define RANGE "pg_catalog.pg_range r WHERE t.oid >= 16384 AND r.rngtypid = t.oid"
#define MULTIRANGE \
	"pg_catalog.pg_range r WHERE t.oid >= 16384 AND t.typtype = 'm' " \
	"AND (pg_catalog.to_jsonb(r) ->> 'rngmultitypid')::oid = t.oid"
#define FIELDS \
	"pg_catalog.pg_attribute a WHERE t.typtype = 'c' AND a.attrelid = t.typrelid AND a.attnum > 0 " \
	"AND NOT a.attisdropped"

static const char types_sql[] =
	"WITH RECURSIVE used(id) AS (SELECT pg_catalog.unnest(@::pg_catalog.oid[]) UNION "
	"SELECT n.id FROM used u JOIN pg_catalog.pg_type t ON t.oid = u.id CROSS JOIN LATERAL ("
	"SELECT t.typbasetype WHERE t.typtype = 'd' UNION ALL SELECT e.oid FROM " MADE
	" UNION ALL SELECT r.rngsubtype FROM " RANGE " UNION ALL SELECT r.rngsubtype FROM " MULTIRANGE
	" UNION ALL SELECT a.atttypid FROM " FIELDS ") n(id)) "
	"SELECT u.id::bigint, p.kind, p.name, p.type, p.id::bigint FROM used u "
	"JOIN pg_catalog.pg_type t ON t.oid = u.id CROSS JOIN LATERAL ("
	"SELECT 'd'::text, 0::float8, NULL::text, pg_catalog.format_type(t.typbasetype, t.typtypmod), t.typbasetype "
	"WHERE t.typtype = 'd' "
	"UNION ALL SELECT 'a', 0, NULL, pg_catalog.format_type(e.oid, NULL), e.oid FROM " MADE
	" UNION ALL SELECT 'r', 0, NULL, pg_catalog.format_type(r.rngsubtype, NULL), r.rngsubtype FROM " RANGE
	" UNION ALL SELECT 'm', 0, NULL, pg_catalog.format_type(r.rngsubtype, NULL), r.rngsubtype FROM " MULTIRANGE
	" UNION ALL SELECT 'c', a.attnum, a.attname::text, pg_catalog.format_type(a.atttypid, a.atttypmod), a.atttypid "
	"FROM " FIELDS
	" UNION ALL SELECT 'e', e.enumsortorder, e.enumlabel::text, NULL, 0::pg_catalog.oid FROM pg_catalog.pg_enum e "
	"WHERE e.enumtypid = t.oid) p(kind, place, name, type, id) ORDER BY u.id, p.place";

/* A type with the number that parts of others name it by. */
struct known {
	int64_t id;
	struct live_type type;
	int64_t inner_id;
	int64_t *part_ids;
};

struct types {
	struct known *list;
	size_t n;
};

static void on_part(struct catalog *c, const struct value *row)
{
	struct types *all = c->more;
	struct known *k;
	struct live_type_part part = {.name = catalog_text(c, row[2]), .type = catalog_text(c, row[3])};

	if (all->n == 0 || all->list[all->n - 1].id != catalog_int(row[0])) {
		all->list = catalog_more(c->arena, all->list, all->n, sizeof(*all->list));
		all->list[all->n++] = (struct known){.id = catalog_int(row[0]), .type.kind = row[1].u.s.p[0]};
	}
	k = &all->list[all->n - 1];
	if (k->type.kind != 'c' && k->type.kind != 'e') {
		k->type.inner = part;
		k->inner_id = catalog_int(row[4]);
		return;
	}
	k->type.parts = catalog_more(c->arena, k->type.parts, k->type.n_parts, sizeof(*k->type.parts));
	k->part_ids = catalog_more(c->arena, k->part_ids, k->type.n_parts, sizeof(*k->part_ids));
	k->part_ids[k->type.n_parts] = catalog_int(row[4]);
	k->type.parts[k->type.n_parts++] = part;
}

/* They are ordered by it. */
static const struct live_type *find(const struct types *all, int64_t id)
{
	size_t low = 0, high = all->n;

	while (low < high) {
		const size_t middle = low + (high - low) / 2;

		if (all->list[middle].id == id)
			return &all->list[middle].type;
		if (all->list[middle].id < id)
			low = middle + 1;
		else
			high = middle;
	}
	return NULL;
}

static void join(struct catalog *c, const struct types *all)
{
	for (size_t i = 0; i < all->n; i++) {
		struct known *k = &all->list[i];

		k->type.inner.of = find(all, k->inner_id);
		for (size_t n = 0; n < k->type.n_parts; n++)
			k->type.parts[n].of = find(all, k->part_ids[n]);
	}
	for (size_t i = 0; i < c->live->n_tables; i++)
		for (size_t n = 0; n < c->live->tables[i].n_columns; n++) {
			struct live_column *col = &c->live->tables[i].columns[n];

			col->made_of = find(all, col->type_id);
		}
}

/* '{16,17}': of types that are not built in, which are made of nothing that is not known by their names. */
static bool put_ids(const struct catalog *c, struct strbuf *b)
{
	int64_t last = 0;
	bool any = false;

	strbuf_puts(b, "'{");
	for (size_t i = 0; i < c->live->n_tables; i++)
		for (size_t n = 0; n < c->live->tables[i].n_columns; n++) {
			const int64_t id = c->live->tables[i].columns[n].type_id;

			if (id < 16384 || id == last)
				continue;
			strbuf_puts(b, any ? "," : "");
			strbuf_int(b, id);
			last = id;
			any = true;
		}
	strbuf_puts(b, "}'");
	return any;
}

static const char domains_sql[] =
	"SELECT t.oid::bigint, t.typnotnull, t.typdefault, k.conname::text, pg_catalog.pg_get_expr(k.conbin, 0) "
	"FROM pg_catalog.pg_type t LEFT JOIN pg_catalog.pg_constraint k ON k.contypid = t.oid AND k.contype = 'c' "
	"WHERE t.typtype = 'd' AND t.oid >= 16384 ORDER BY t.oid, k.conname COLLATE \"C\"";

static void on_domain(struct catalog *c, const struct value *row)
{
	struct live_type *t = (struct live_type *)(uintptr_t)find(c->more, catalog_int(row[0]));
	struct live_thing *checks;

	if (t == NULL)
		return;
	t->not_null = catalog_bool(row[1]);
	t->default_text = catalog_text(c, row[2]);
	if (row[3].kind != VALUE_TEXT || row[4].kind != VALUE_TEXT)
		return;
	checks = catalog_more(c->arena, t->checks, t->n_checks, sizeof(*checks));
	checks[t->n_checks++] = (struct live_thing){
		.kind = arena_str(c->arena, schema_sql_bare(DIALECT_POSTGRES, row[4].u.s)),
		.name = catalog_text(c, row[3]),
	};
	t->checks = checks;
}

static bool has_domains(const struct types *all)
{
	for (size_t i = 0; i < all->n; i++)
		if (all->list[i].type.kind == 'd')
			return true;
	return false;
}

bool postgres_introspect_types(struct catalog *c, struct err *err)
{
	struct types all = {0};
	void *outer = c->more;
	struct strbuf b;
	bool ok = true;

	strbuf_init(&b, 0);
	for (const char *p = types_sql; *p != '\0'; p++) {
		if (*p != '@')
			strbuf_putc(&b, *p);
		else if (!put_ids(c, &b))
			break;
	}
	if (strbuf_failed(&b))
		ok = err_oom(err);
	c->more = &all;
	if (ok && str_ends(strbuf_str(&b), STR("p.place")))
		ok = catalog_query(c, strbuf_str(&b), "itTTi", on_part, err);
	if (ok && has_domains(&all))
		ok = catalog_query(c, str_z(domains_sql), "ibTTT", on_domain, err);
	c->more = outer;
	strbuf_done(&b);
	if (ok)
		join(c, &all);
	return ok;
}
