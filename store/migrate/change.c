/* See change.h. */
#include "store/migrate/change.h"

#include "service/base/num.h"

#include "service/base/banned.h"

static const struct {
	const char *name, *lock; /* on PostgreSQL */
	bool rewrites, loses_data, reversible;
} kinds[] = {
	[CHANGE_CREATE_SCHEMA] = {"create_schema", "NONE", false, false, true},
	[CHANGE_CREATE_TYPE] = {"create_type", "NONE", false, false, true},
	[CHANGE_CREATE_TABLE] = {"create_table", "NONE", false, false, true},
	[CHANGE_ADD_COLUMN] = {"add_column", "ACCESS EXCLUSIVE", false, false, true},
	[CHANGE_DROP_DEFAULT] = {"drop_default", "ACCESS EXCLUSIVE", false, false, true},
	[CHANGE_SET_DEFAULT] = {"set_default", "ACCESS EXCLUSIVE", false, false, true},
	[CHANGE_SET_IDENTITY] = {"set_identity", "ACCESS EXCLUSIVE", false, false, true},
	[CHANGE_ALTER_TYPE] = {"alter_type", "ACCESS EXCLUSIVE", true, false, true},
	[CHANGE_SET_NOT_NULL] = {"set_not_null", "ACCESS EXCLUSIVE", false, false, true},
	[CHANGE_DROP_NOT_NULL] = {"drop_not_null", "ACCESS EXCLUSIVE", false, false, true},
	[CHANGE_REBUILD_TABLE] = {"rebuild_table", "EXCLUSIVE", false, false, true},
	[CHANGE_CREATE_INDEX] = {"create_index", "SHARE", false, false, true},
	[CHANGE_ADD_CHECK] = {"add_check", "ACCESS EXCLUSIVE", false, false, true},
	[CHANGE_ADD_FOREIGN_KEY] = {"add_foreign_key", "SHARE ROW EXCLUSIVE", false, false, true},
	[CHANGE_DROP_INDEX] = {"drop_index", "ACCESS EXCLUSIVE", false, false, true},
	[CHANGE_DROP_CHECK] = {"drop_check", "ACCESS EXCLUSIVE", false, false, true},
	[CHANGE_DROP_FOREIGN_KEY] = {"drop_foreign_key", "ACCESS EXCLUSIVE", false, false, true},
	/* there is no DROP VALUE */
	[CHANGE_ADD_ENUM_VALUE] = {"add_enum_value", "NONE", false, false, false},
	[CHANGE_COMMENT] = {"comment", "SHARE UPDATE EXCLUSIVE", false, false, true},
	[CHANGE_DROP_COLUMN] = {"drop_column", "ACCESS EXCLUSIVE", false, true, false},
	[CHANGE_RENAME_TABLE] = {"rename_table", "ACCESS EXCLUSIVE", false, false, true},
	[CHANGE_RENAME_COLUMN] = {"rename_column", "ACCESS EXCLUSIVE", false, false, true},
	[CHANGE_RENAME_INDEX] = {"rename_index", "SHARE UPDATE EXCLUSIVE", false, false, true},
	[CHANGE_RENAME_CONSTRAINT] = {"rename_constraint", "ACCESS EXCLUSIVE", false, false, true},
	[CHANGE_RENAME_SEQUENCE] = {"rename_sequence", "NONE", false, false, true},
	[CHANGE_RENAME_LABEL] = {"rename_label", "ROW EXCLUSIVE", false, false, true},
};

const char *change_kind_name(enum change_kind k)
{
	return kinds[k].name;
}

struct change change_of(const struct dialect *d, enum change_kind k)
{
	return (struct change){
		.kind = k,
		.lock = d->id == DIALECT_SQLITE ? "EXCLUSIVE" : kinds[k].lock,
		.rewrites = kinds[k].rewrites,
		.loses_data = kinds[k].loses_data,
		.reversible = kinds[k].reversible,
	};
}

void plan_hash(const struct dialect *d, const struct migration_plan *p, char ret[65])
{
	struct strbuf b;
	uint8_t digest[32];

	strbuf_init(&b, 0);
	strbuf_puts(&b, d->name);
	for (size_t i = 0; i < p->n_changes; i++) {
		strbuf_putc(&b, '\0'); /* in no statement */
		strbuf_put(&b, p->changes[i].statement);
	}
	num_sha256(strbuf_str(&b), digest);
	num_hex(digest, sizeof(digest), ret);
	strbuf_done(&b);
}
