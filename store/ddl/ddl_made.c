/* Types that a database is to have before its tables: enums, domains, composites, ranges. PostgreSQL's. */
#include <stdio.h>
#include <string.h>

#include "store/ddl/ddl.h"
#include "store/schema/schema_sql.h"

#include "service/base/banned.h"

static bool contains(struct str s, const char *z)
{
	return s.len > 0 && memmem(s.p, s.len, z, strlen(z)) != NULL;
}

/* The statement, which does nothing where the type is there already. */
static void put_guarded(struct str statement, struct strbuf *out)
{
	char tag[32] = "$ferro$";

	/* a dollar quote ends at its tag, so the tag must not occur inside */
	for (int i = 1; contains(statement, tag); i++)
		(void)snprintf(tag, sizeof(tag), "$ferro%d$", i);
	strbuf_printf(out, "DO %s BEGIN ", tag);
	strbuf_put(out, statement);
	strbuf_printf(out, "; EXCEPTION WHEN duplicate_object THEN NULL; END %s", tag);
}

/* The statement in `b` becomes one that does nothing where PostgreSQL's function finds that name: not even ask whether
 * its user may make such a thing. */
static void put_unless(struct str function, struct str name, struct strbuf *b)
{
	struct strbuf guarded;

	strbuf_init(&guarded, 0);
	strbuf_puts(&guarded, "IF pg_catalog.");
	strbuf_put(&guarded, function);
	strbuf_putc(&guarded, '(');
	dialect_put_literal(&dialect_postgres, &guarded, name);
	strbuf_puts(&guarded, ") IS NULL THEN ");
	strbuf_put(&guarded, strbuf_str(b));
	strbuf_puts(&guarded, "; END IF");
	strbuf_reset(b);
	put_guarded(strbuf_str(&guarded), b);
	strbuf_done(&guarded);
}

static void put_labels(struct strbuf *out, const json_t *labels)
{
	strbuf_puts(out, " AS ENUM (");
	for (size_t i = 0; i < json_array_size(labels); i++) {
		if (i > 0)
			strbuf_puts(out, ", ");
		dialect_put_literal(&dialect_postgres, out, json_str(json_array_get(labels, i)));
	}
	strbuf_puts(out, ")");
}

void ddl_create_enum(const struct column *c, struct strbuf *out)
{
	struct strbuf type;

	strbuf_init(&type, 0);
	strbuf_puts(&type, "CREATE TYPE ");
	dialect_quote_ident(&type, c->enum_type_name);
	put_labels(&type, c->enum_labels);
	put_guarded(strbuf_str(&type), out);
	strbuf_done(&type);
}

/* The name of a part, which is a text or an object of its own. */
static struct str part_name(const json_t *part)
{
	return json_str(json_is_string(part) ? part : json_object_get(part, "db_type"));
}

static bool put_expression(struct str sql, struct strbuf *out, struct err *err)
{
	const char *why;

	if (!schema_sql_expression(DIALECT_POSTGRES, sql, &why))
		return err_set(err, ERR_INVALID_SCHEMA, "a domain has an expression that is none of PostgreSQL: %s",
			       why);
	strbuf_putc(out, '(');
	strbuf_put(out, sql);
	strbuf_putc(out, ')');
	return true;
}

static bool put_domain(const json_t *type, struct strbuf *out, struct err *err)
{
	const json_t *domain = json_object_get(type, "domain"), *checks = json_object_get(domain, "checks");
	const json_t *sql = json_object_get(domain, "default_sql");

	strbuf_puts(out, " AS ");
	strbuf_put(out, part_name(json_object_get(type, "base_type")));
	if (json_is_string(sql)) {
		strbuf_puts(out, " DEFAULT ");
		if (!put_expression(json_str(sql), out, err))
			return false;
	}
	if (json_is_true(json_object_get(domain, "not_null")))
		strbuf_puts(out, " NOT NULL");
	for (size_t i = 0; i < json_array_size(checks); i++) {
		const json_t *check = json_array_get(checks, i);

		strbuf_puts(out, " CONSTRAINT ");
		dialect_quote_ident(out, json_str(json_object_get(check, "name")));
		strbuf_puts(out, " CHECK ");
		if (!put_expression(json_str(json_object_get(check, "expression")), out, err))
			return false;
	}
	return true;
}

static void put_fields(const json_t *fields, struct strbuf *out)
{
	strbuf_puts(out, " AS (");
	for (size_t i = 0; i < json_array_size(fields); i++) {
		const json_t *field = json_array_get(fields, i);

		if (i > 0)
			strbuf_puts(out, ", ");
		dialect_quote_ident(out, json_str(json_object_get(field, "name")));
		strbuf_putc(out, ' ');
		strbuf_put(out, part_name(field));
	}
	strbuf_putc(out, ')');
}

/* What comes before the type: those that it is made of. */
static bool create_parts(struct ddl_plan *p, struct map *seen, const json_t *type, struct err *err)
{
	static const char *const members[] = {"element", "base_type"};
	const json_t *fields = json_object_get(type, "fields");
	bool ok = true;

	for (size_t i = 0; ok && i < ARRAY_LEN(members); i++) {
		const json_t *part = json_object_get(type, members[i]);

		if (json_is_object(part))
			ok = ddl_create_types(p, seen, part_name(part), part, json_object_get(part, "labels"), err);
	}
	for (size_t i = 0; ok && i < json_array_size(fields); i++) {
		const json_t *part = json_array_get(fields, i);

		ok = ddl_create_types(p, seen, part_name(part), part, json_object_get(part, "labels"), err);
	}
	return ok;
}

/* The schema that a type's name, as PostgreSQL writes it, begins with; STR_NONE: there is none. */
static struct str name_schema(struct arena *a, struct str name)
{
	const bool quoted = name.len > 0 && name.p[0] == '"';
	char *text = arena_alloc(a, name.len + 1);
	size_t i = quoted, n = 0;

	for (; i < name.len; i++) {
		if (quoted && name.p[i] == '"' && (++i == name.len || name.p[i] != '"'))
			break;
		if (!quoted && name.p[i] == '.')
			break;
		text[n++] = name.p[i];
	}
	return i < name.len && name.p[i] == '.' ? str_n(text, n) : STR_NONE;
}

static void create_schema(struct ddl_plan *p, struct map *seen, struct str name)
{
	struct strbuf quoted, b;

	if (name.p == NULL || map_put(seen, name, seen) != NULL)
		return;
	strbuf_init(&quoted, 0);
	strbuf_init(&b, 0);
	dialect_quote_ident(&quoted, name);
	strbuf_puts(&b, "CREATE SCHEMA ");
	strbuf_put(&b, strbuf_str(&quoted));
	put_unless(STR("to_regnamespace"), strbuf_str(&quoted), &b);
	ddl_plan_add(p, DDL_CREATE_SCHEMA, STR_NONE, strbuf_str(&b));
	strbuf_done(&b);
	strbuf_done(&quoted);
}

static void type_schemas(struct ddl_plan *p, struct map *seen, struct str name, const json_t *type)
{
	static const char *const members[] = {"element", "base_type"};
	const json_t *fields = json_object_get(type, "fields");

	for (size_t i = 0; i < ARRAY_LEN(members); i++) {
		const json_t *part = json_object_get(type, members[i]);

		if (json_is_object(part))
			type_schemas(p, seen, part_name(part), part);
	}
	for (size_t i = 0; i < json_array_size(fields); i++)
		type_schemas(p, seen, part_name(json_array_get(fields, i)), json_array_get(fields, i));
	if (json_object_get(type, "type_kind") != NULL)
		create_schema(p, seen, name_schema(p->arena, name));
}

void ddl_create_schemas(struct ddl_plan *p, struct map *seen, const struct column *c)
{
	create_schema(p, seen, c->sequence_schema);
	if (c->type_json != NULL)
		type_schemas(p, seen, c->db_type, c->type_json);
}

void ddl_create_sequence(struct ddl_plan *p, struct map *seen, const struct column *c)
{
	struct strbuf name, b;

	if (c->sequence.p == NULL)
		return;
	strbuf_init(&name, 0);
	strbuf_init(&b, 0);
	dialect_quote_table(&name, c->sequence_schema, c->sequence);
	if (map_put(seen, arena_str(p->arena, strbuf_str(&name)), seen) == NULL) {
		strbuf_printf(&b, "CREATE SEQUENCE %s", c->sequence_schema.p == NULL ? "IF NOT EXISTS " : "");
		strbuf_put(&b, strbuf_str(&name));
		if (c->sequence_increment != 0)
			strbuf_printf(&b, " INCREMENT BY %lld", (long long)c->sequence_increment);
		if (c->sequence_start != 0)
			strbuf_printf(&b, " START WITH %lld", (long long)c->sequence_start);
		if (c->sequence_schema.p != NULL)
			put_unless(STR("to_regclass"), strbuf_str(&name), &b);
		ddl_plan_add(p, DDL_CREATE_TYPE, STR_NONE, strbuf_str(&b));
	}
	strbuf_done(&b);
	strbuf_done(&name);
}

bool ddl_create_needs(struct ddl_plan *p, const struct column *c, struct err *err)
{
	struct map seen;
	struct strbuf b;
	bool ok = true;

	map_init(&seen);
	ddl_create_schemas(p, &seen, c);
	if (c->postgres_native_enum) {
		strbuf_init(&b, 0);
		ddl_create_enum(c, &b);
		ddl_plan_add(p, DDL_CREATE_TYPE, STR_NONE, strbuf_str(&b));
		strbuf_done(&b);
	}
	ddl_create_sequence(p, &seen, c);
	if (c->type_json != NULL)
		ok = ddl_create_types(p, &seen, c->db_type, c->type_json, c->enum_values, err);
	map_done(&seen);
	return ok;
}

bool ddl_create_types(struct ddl_plan *p, struct map *seen, struct str name, const json_t *type, const json_t *labels,
		      struct err *err)
{
	const char *kind = json_string_value(json_object_get(type, "type_kind"));
	struct strbuf made;
	bool ok = true, makes = true;

	if (!create_parts(p, seen, type, err))
		return false;
	if (kind == NULL || map_put(seen, name, (void *)(uintptr_t)type) != NULL)
		return true;
	strbuf_init(&made, 0);
	strbuf_puts(&made, strcmp(kind, "domain") == 0 ? "CREATE DOMAIN " : "CREATE TYPE ");
	strbuf_put(&made, name); /* a type's name: schema validation lets nothing else pass */
	if (strcmp(kind, "domain") == 0)
		ok = put_domain(type, &made, err);
	else if (strcmp(kind, "composite") == 0)
		put_fields(json_object_get(type, "fields"), &made);
	else if (strcmp(kind, "enum") == 0 && json_array_size(labels) > 0)
		put_labels(&made, labels);
	else if (strcmp(kind, "range") == 0)
		strbuf_printf(&made, " AS RANGE (SUBTYPE = %.*s)",
			      STR_FMT(part_name(json_object_get(type, "element"))));
	else
		makes = false; /* arrays come with their elements, multiranges with their ranges */
	if (ok && makes) {
		put_unless(STR("to_regtype"), name, &made);
		ddl_plan_add(p, DDL_CREATE_TYPE, STR_NONE, strbuf_str(&made));
	}
	strbuf_done(&made);
	return ok;
}
