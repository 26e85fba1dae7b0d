/* SchemaIR: vectors, the short form, the canonical form, every refusal with its pointer, merging, the registry. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "service/base/limits.h"
#include "store/schema/schema_names.h"
#include "store/schema/schema_registry.h"
#include "tests/support/schema_docs.h"

#define MODEL(name, columns, rest) "{'models':[{'model_name':'" name "','columns':[" ID columns "]" rest "}]}"

static void test_fingerprint_vector(void **state UNUSED)
{
	const json_t *v = golden_load(&arena, "tests/golden/vectors/schema_phase1_fixture_models_v1.json");
	const json_t *ir = json_object_get(v, "ir");
	struct schema *s = golden_schema(&arena, ir), *again;

	assert_string_equal(schema_fingerprint(s), json_string_value(json_object_get(v, "fingerprint")));
	/* IR-05: the same twice, also from what was answered */
	again = golden_schema(&arena, golden_envelope(&arena, s));
	assert_string_equal(schema_fingerprint(again), schema_fingerprint(s));
	assert_string_equal(golden_text(&arena, golden_envelope(&arena, again)),
			    golden_text(&arena, golden_envelope(&arena, s)));
	schema_unref(s);
	schema_unref(again);
	/* the bare payload is the same set */
	again = golden_schema(&arena, json_object_get(ir, "payload"));
	assert_string_equal(schema_fingerprint(again), json_string_value(json_object_get(v, "fingerprint")));
	schema_unref(again);
}

static void test_invoice_vector(void **state UNUSED)
{
	const json_t *v = golden_load(&arena, "tests/golden/vectors/schema_invoice_baseline_v1.json");
	struct schema *s = golden_schema(&arena, json_object_get(v, "ir"));
	const struct model *m = schema_model(s, STR("Invoice"));
	const struct column *c;

	assert_non_null(m);
	assert_ptr_equal(m, schema_model_by_table(s, STR("invoice")));
	assert_null(schema_model(s, STR("invoice")));
	assert_int_equal(m->n_columns, 4);
	assert_true(str_eq_z(m->columns[0].name, "created_at")); /* sorted */
	c = model_column(m, STR("number"));
	assert_int_equal(c->index, 3);
	assert_true(c->unique);
	assert_int_equal(c->logical, LT_STRING);
	assert_int_equal(c->storage, ST_VARCHAR);
	assert_string_equal(json_string_value(m->columns[0].default_value), "now()");
	assert_int_equal(m->n_pk, 1);
	assert_true(m->pk[0]->autoincrement);
	assert_int_equal(m->n_relations, 0); /* "customer" is not in the set, which is allowed */
	assert_int_equal(m->checks[0].n_values, 2);
	schema_unref(s);
}

static void test_short_form(void **state UNUSED)
{
	struct schema *s =
		made("{'models':[{'model_name':'OrgUnit','columns':[" ID ",{'name':'email','logical_type':'string',"
		     "'unique':true},{'name':'age','logical_type':'integer','index':true}]},"
		     "{'model_name':'Member','columns':[" ID ",{'name':'unit_id','logical_type':'integer'}],"
		     "'foreign_keys':[{'column':'unit_id','to_table':'orgunit'}]}]}");
	const json_t *full = doc(
		"{'ir_kind':'schema','ir_version':1,'payload':{'dialect_agnostic':true,'models':["
		"{'model_name':'Member','table_name':'member','columns':[{'name':'id','logical_type':'integer','"
		"nullable':false,"
		"'primary_key':true,'autoincrement':true,'unique':false,'index':false,'default':null,'format':null},"
		"{'name':'unit_id','logical_type':'integer','nullable':false,'primary_key':false,'autoincrement':false,"
		"'unique':false,'index':false,'default':null,'format':null}],'foreign_keys':[{'column':'unit_id',"
		"'to_table':'orgunit','to_column':'id','on_delete':null,'name':'fk_member_unit_id_orgunit'}],'indexes':"
		"[],"
		"'uniques':[],'checks':[],'relations':[{'name':'unit','kind':'forward','target':'OrgUnit','column':'"
		"unit_id',"
		"'derived':true}]},"
		"{'model_name':'OrgUnit','table_name':'orgunit','columns':[{'name':'age','logical_type':'integer',"
		"'nullable':false,'primary_key':false,'autoincrement':false,'unique':false,'index':true,'default':null,"
		"'format':null},{'name':'email','logical_type':'string','nullable':false,'primary_key':false,"
		"'autoincrement':false,'unique':true,'index':false,'default':null,'format':null},{'name':'id',"
		"'logical_type':'integer','nullable':false,'primary_key':true,'autoincrement':true,'unique':false,'"
		"index':false,"
		"'default':null,'format':null}],'foreign_keys':[],'indexes':[{'name':'idx_orgunit_age','columns':['age'"
		"],"
		"'unique':false}],'uniques':[{'name':'uq_orgunit_email','columns':['email']}],'checks':[],'relations':["
		"{'name':'member_set','kind':'reverse','target':'Member','column':'unit_id','derived':true}]}]}}");
	json_t *envelope = golden_envelope(&arena, s);

	assert_string_equal(json_string_value(json_object_get(envelope, "fingerprint")), schema_fingerprint(s));
	(void)json_object_del(envelope, "fingerprint");
	assert_string_equal(golden_text(&arena, envelope), golden_text(&arena, full));
	schema_unref(s);
}

static const struct column *only(struct schema **s, const char *members)
{
	char text[512];

	(void)snprintf(text, sizeof(text), "{'models':[{'model_name':'M','columns':[{'name':'c',%s}]}]}", members);
	*s = made(text);
	return model_column(&(*s)->models[0], STR("c"));
}

static void test_effective_types(void **state UNUSED)
{
	static const struct {
		const char *members;
		enum logical_type logical;
		enum storage_type storage;
		int64_t length;
	} cases[] = {
		{"'logical_type':'integer'", LT_INTEGER, ST_INT, 0},
		{"'logical_type':'integer','db_type':'bigint'", LT_INTEGER, ST_BIGINT, 0},
		{"'logical_type':'string','db_type':' VARCHAR( 32 ) '", LT_STRING, ST_VARCHAR, 32},
		{"'logical_type':'string','db_type':'varchar(0)'", LT_STRING, ST_VARCHAR, 0},
		{"'logical_type':'integer','db_type':'varchar(x)'", LT_INTEGER, ST_INT, 0},
		{"'logical_type':'uuid'", LT_UUID, ST_UUID_LOGICAL, 0},
		{"'logical_type':'uuid','db_type':'uuid'", LT_UUID, ST_UUID, 0},
		{"'logical_type':'uuid','db_type':'text'", LT_UUID, ST_TEXT, 0},
		{"'logical_type':'decimal','db_type':'varchar(20)'", LT_DECIMAL, ST_VARCHAR, 20},
		{"'logical_type':'integer','db_type':'text'", LT_STRING, ST_TEXT, 0},
		{"'logical_type':'string','db_type':'jsonb'", LT_JSON, ST_JSONB, 0},
		{"'logical_type':'datetime','db_type':'timestamp'", LT_DATETIME, ST_TIMESTAMP, 0},
		{"'logical_type':'datetime'", LT_DATETIME, ST_DATETIME_LOGICAL, 0},
		{"'logical_type':'time'", LT_TIME, ST_TIME_LOGICAL, 0},
		{"'logical_type':'time','db_type':'time'", LT_TIME, ST_TIME, 0},
		{"'logical_type':'number','format':'decimal'", LT_DECIMAL, ST_NUMERIC, 0},
		{"'logical_type':'string','format':'binary'", LT_BINARY, ST_BYTEA, 0},
		{"'logical_type':'object'", LT_JSON, ST_JSON, 0},
		{"'logical_type':'unknown'", LT_UNKNOWN, ST_UNRESOLVED, 0},
		{"'logical_type':'unknown','db_type':'boolean'", LT_BOOLEAN, ST_BOOLEAN, 0},
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct schema *s;
		const struct column *c = only(&s, cases[i].members);

		if (c->logical != cases[i].logical || c->storage != cases[i].storage || c->length != cases[i].length)
			fail_msg("%s: %s, storage %d, length %lld", cases[i].members, logical_type_name(c->logical),
				 (int)c->storage, (long long)c->length);
		schema_unref(s);
	}
}

static void test_optional_members(void **state UNUSED)
{
	struct schema *s;
	const struct column *c =
		only(&s, "'logical_type':'string','db_type':'varchar(32)','db_type_explicit':true,"
			 "'enum_values':['a'],'enum_type_name':'e','postgres_native_enum':false,'future':{}");
	const json_t *o = json_array_get(json_object_get(golden_model(&arena, &s->models[0]), "columns"), 0);

	assert_true(c->db_type_explicit);
	assert_int_equal(json_object_size(o), 14); /* nine always there, five given */
	assert_string_equal(json_string_value(json_object_get(o, "db_type")), "varchar(32)");
	schema_unref(s);
	(void)only(&s, "'logical_type':'string'"); /* IR-07 */
	assert_int_equal(
		json_object_size(json_array_get(json_object_get(golden_model(&arena, &s->models[0]), "columns"), 0)),
		9);
	schema_unref(s);
}

static void test_keys(void **state UNUSED)
{
	struct schema *s =
		made("{'models':[{'model_name':'Seat','columns':[{'name':'row','logical_type':'integer',"
		     "'primary_key':true},{'name':'hall','logical_type':'integer','primary_key':true}]},"
		     "{'model_name':'Profile','columns':[{'name':'seat','logical_type':'integer','primary_key':true}],"
		     "'foreign_keys':[{'column':'seat','to_table':'elsewhere'}]},"
		     "{'model_name':'Tag','columns':[{'name':'id','logical_type':'uuid','primary_key':true}]}]}");
	const struct model *seat = schema_model(s, STR("Seat"));

	assert_int_equal(seat->n_pk, 2);
	assert_true(str_eq_z(seat->pk[0]->name, "hall"));
	assert_false(seat->pk[0]->autoincrement);
	assert_false(schema_model(s, STR("Profile"))->pk[0]->autoincrement); /* a reference, not a counter */
	assert_false(schema_model(s, STR("Tag"))->pk[0]->autoincrement);
	schema_unref(s);
}

static void test_implied_entries(void **state UNUSED)
{
	struct schema *s =
		made(MODEL("T",
			   ",{'name':'a','logical_type':'integer','unique':true,'index':true},"
			   "{'name':'b','logical_type':'integer','unique':true},{'name':'f','logical_type':'integer'}",
			   ",'uniques':[{'name':'mine','columns':['b']}],"
			   "'foreign_keys':[{'column':'f','to_table':'x','on_delete':'SET NULL'}]"));
	const struct model *m = &s->models[0];

	assert_int_equal(m->n_uniques, 2); /* no second one over b */
	assert_true(str_eq_z(m->uniques[0].name, "mine"));
	assert_true(str_eq_z(m->uniques[1].name, "uq_t_a"));
	assert_int_equal(m->n_indexes, 0); /* redundant beside the unique */
	assert_false(model_column(m, STR("a"))->index_flag);
	assert_true(model_column(m, STR("f"))->nullable); /* SET NULL forces it where nothing else is said */
	schema_unref(s);
}

static void test_names(void **state UNUSED)
{
	const struct str ab[] = {STR("a"), STR("b")};
	char buf[80];
	struct str n;

	n = schema_artifact_name(&arena, ARTIFACT_INDEX, STR("user"), ab, 2); /* DDL-33 */
	assert_string_equal(n.p, "idx_user_a_b");
	assert_string_equal(schema_artifact_name(&arena, ARTIFACT_UNIQUE, STR("user"), ab, 2).p, "uq_user_a_b");
	assert_string_equal(schema_artifact_name(&arena, ARTIFACT_CHECK, STR("user"), ab, 1).p, "ck_user_a");
	assert_string_equal(schema_artifact_name(&arena, ARTIFACT_FOREIGN_KEY, STR("t"), ab, 2).p, "fk_t_a_b");
	memset(buf, 'c', sizeof(buf));
	/* exactly 63 bytes stay: idx_t_ and 57 more */
	n = schema_artifact_name(&arena, ARTIFACT_INDEX, STR("t"), &(struct str){buf, 57}, 1);
	assert_int_equal(n.len, 63);
	assert_false(str_ends(n, STR("_idx")));
	n = schema_artifact_name(&arena, ARTIFACT_INDEX, STR("t"), &(struct str){buf, 58}, 1);
	assert_int_equal(n.len, 63);
	assert_true(str_ends(n, STR("cc_idx")));
	n = schema_artifact_name(&arena, ARTIFACT_UNIQUE, STR("t"), &(struct str){buf, 70}, 1);
	assert_int_equal(n.len, 63);
	assert_true(str_ends(n, STR("cc_uq")));
	n = schema_artifact_name(&arena, ARTIFACT_CHECK, STR("t"), &(struct str){buf, 70}, 1);
	assert_int_equal(n.len, 63);
	assert_true(str_ends(n, STR("cc_ck")));
	n = schema_artifact_name(&arena, ARTIFACT_FOREIGN_KEY, STR("t"), &(struct str){buf, 70}, 1);
	assert_int_equal(n.len, 63);
	/* a two-byte character is never cut in two: "idx_t_" leaves 53 bytes before the suffix */
	for (size_t i = 0; i + 1 < sizeof(buf); i += 2)
		memcpy(buf + i, "\xc3\xa9", 2);
	n = schema_artifact_name(&arena, ARTIFACT_INDEX, STR("t"), &(struct str){buf, 70}, 1);
	assert_true(str_is_utf8(n));
	assert_int_equal(n.len, 62);
	assert_true(str_ends(n, STR("\xc3\xa9_idx")));
}

static void test_envelope_refusals(void **state UNUSED)
{
	refused("{'ir_kind':'query','ir_version':1,'payload':{'models':[]}}", "/ir_kind", "schema");
	refused("{'ir_kind':'schema','ir_version':4,'payload':{'models':[]}}", "/ir_version", "1");
	refused("{'ir_kind':'schema','payload':{'models':[]}}", "/ir_version", "1");
	refused("{'ir_kind':'schema','ir_version':1}", "/payload", "object");
	refused("{'ir_kind':'schema','ir_version':1,'payload':{'models':{}}}", "/payload/models", "array");
	refused("[]", "", "object");
	refused("{}", "/models", "array");
	refused("{'models':[7]}", "/models/0", "not integer");
	refused("{'models':[],'dialect_agnostic':1}", "/dialect_agnostic", "true or false");
}

static void test_shape_refusals(void **state UNUSED)
{
	refused("{'models':[{'columns':[" ID "]}]}", "/models/0/model_name", "missing");
	refused("{'models':[{'model_name':'','columns':[" ID "]}]}", "/models/0/model_name", "empty");
	refused("{'models':[{'model_name':'M','table_name':7,'columns':[" ID "]}]}", "/models/0/table_name", "string");
	refused("{'models':[{'model_name':'M'}]}", "/models/0/columns", "missing");
	refused("{'models':[{'model_name':'M','columns':[]}]}", "/models/0/columns", "empty");
	refused("{'models':[{'model_name':'M','columns':{}}]}", "/models/0/columns", "array");
	refused("{'models':[{'model_name':'M','columns':['x']}]}", "/models/0/columns/0", "object");
	refused("{'models':[{'model_name':'M','columns':[{'name':'x'}]}]}", "/models/0/columns/0/logical_type",
		"missing");
	refused("{'models':[{'model_name':'M','columns':[{'logical_type':'string'}]}]}", "/models/0/columns/0/name",
		"missing");
	refused(MODEL("M", ",{'name':'x','logical_type':'string','nullable':1}", ""), "/models/0/columns/1/nullable",
		"true");
	refused(MODEL("M", ",{'name':'x','logical_type':'string','format':[]}", ""), "/models/0/columns/1/format",
		"string");
	refused(MODEL("M", ",{'name':'x','logical_type':'string','enum_values':'a'}", ""),
		"/models/0/columns/1/enum_values", "array");
	refused(MODEL("M", "", ",'indexes':[{'columns':[]}]"), "/models/0/indexes/0/columns", "empty");
	refused(MODEL("M", "", ",'uniques':[{}]"), "/models/0/uniques/0/columns", "missing");
	refused(MODEL("M", "", ",'uniques':[{'columns':['id',3]}]"), "/models/0/uniques/0/columns/1", "string");
	refused(MODEL("M", "", ",'checks':[{'column':'id'}]"), "/models/0/checks/0/values", "missing");
	refused(MODEL("M", "", ",'foreign_keys':[{'column':'id'}]"), "/models/0/foreign_keys/0/to_table", "missing");
	refused(MODEL("M", "", ",'relations':[{'name':'r','target':'M','kind':'x'}]"), "/models/0/relations/0/kind",
		"forward");
	refused("{'models':[{'model_name':'M','table_name':"
		"'t234567890123456789012345678901234567890123456789012345678901234','columns':[" ID "]}]}",
		"/models/0/table_name", "64 bytes");
	refused("{'models':[{'model_name':'T234567890123456789012345678901234567890123456789012345678901234','columns':"
		"[" ID "]}]}",
		"/models/0", "table name of 64 bytes");
}

static void test_meaning_refusals(void **state UNUSED)
{
	refused("{'models':[{'model_name':'M','columns':[" ID "]},{'model_name':'M','table_name':'n','columns':[" ID
		"]}]}",
		"/models/1", "model \"M\"");
	refused("{'models':[{'model_name':'M','columns':[" ID "]},{'model_name':'N','table_name':'m','columns':[" ID
		"]}]}",
		"/models/1", "table \"m\"");
	refused(MODEL("M", "," ID, ""), "/models/0/columns/1", "twice");
	refused(MODEL("M", ",{'name':'x','logical_type':'integer','autoincrement':true}", ""), "/models/0/columns/1",
		"not the primary key");
	refused("{'models':[{'model_name':'M','columns':[{'name':'x','logical_type':'uuid','primary_key':true,"
		"'autoincrement':true}]}]}",
		"/models/0/columns/0", "not an integer");
	refused(MODEL("M", ",{'name':'x','logical_type':'integer','primary_key':true,'autoincrement':true}", ""),
		"/models/0/columns/1", "composite");
	refused(MODEL("M", "", ",'foreign_keys':[{'column':'x_id','to_table':'m'}]"), "/models/0/foreign_keys/0",
		"x_id");
	refused(MODEL("M", "", ",'foreign_keys':[{'column':'id','to_table':'m','to_column':'y'}]"),
		"/models/0/foreign_keys/0", "\"y\"");
	refused(MODEL("M", "", ",'foreign_keys':[{'column':'id','to_table':'x','on_delete':'EXPLODE'}]"),
		"/models/0/foreign_keys/0", "on_delete");
	refused(MODEL("M", "", ",'indexes':[{'columns':['nope']}]"), "/models/0/indexes/0", "nope");
	refused(MODEL("M", "", ",'indexes':[{'columns':['id','id']}]"), "/models/0/indexes/0", "twice");
	refused(MODEL("M", "", ",'uniques':[{'columns':['nope']}]"), "/models/0/uniques/0", "nope");
	refused(MODEL("M", "", ",'checks':[{'column':'nope','values':['1']}]"), "/models/0/checks/0", "nope");
	refused(MODEL("M", "", ",'checks':[{'column':'id','values':['1']},{'column':'id','values':['2']}]"),
		"/models/0/checks/1", "ck_m_id");
	refused(MODEL("M", ",{'name':'x','logical_type':'integer'}",
		      ",'indexes':[{'name':'i','columns':['id']},{'name':'i','columns':['x']}]"),
		"/models/0/indexes/1", "\"i\"");
	refused(MODEL("M", "", ",'indexes':[{'name':'m','columns':['id']}]"), "/models/0/indexes/0", "taken");
	refused(MODEL("M", ",{'name':'e','logical_type':'string','postgres_native_enum':true}", ""),
		"/models/0/columns/1", "enum_type_name");
	refused(MODEL("M",
		      ",{'name':'e','logical_type':'string','postgres_native_enum':true,'enum_type_name':'t',"
		      "'enum_values':[1]}",
		      ""),
		"/models/0/columns/1", "string");
	refused(MODEL("M",
		      ",{'name':'e','logical_type':'string','postgres_native_enum':true,'enum_type_name':'t',"
		      "'enum_values':['a']},{'name':'f','logical_type':'string','postgres_native_enum':true,'enum_type_"
		      "name':'t',"
		      "'enum_values':['b']}",
		      ""),
		"/models/0/columns/2", "elsewhere");
}

/* What reaches DDL unquoted must be a literal and nothing else. */
static void test_check_literals(void **state UNUSED)
{
	static const char *const bad[] = {"",     "x",    "1)",  "'a",     "a'",       "'a'b'",     "'a''", "'",
					  "1;--", "NULL", "nan", "1 OR 1", "Infinity", "-Infinity", "-"};
	static const char *const good[] = {"'a'", "''", "'it''s'", "''''", "1", "-2.5", "true", "FALSE", "1e3"};

	for (size_t i = 0; i < ARRAY_LEN(bad) + ARRAY_LEN(good); i++) {
		json_t *d = doc(MODEL("M", "", ",'checks':[{'column':'id','values':['x']}]"));
		const char *value = i < ARRAY_LEN(bad) ? bad[i] : good[i - ARRAY_LEN(bad)];
		json_t *m = json_array_get(json_object_get(d, "models"), 0);
		json_t *values = json_object_get(json_array_get(json_object_get(m, "checks"), 0), "values");
		struct schema *s = NULL;
		bool ok;

		(void)json_array_set_new(values, 0, json_string(value));
		ok = schema_from_json(d, NULL, &arena, &s, &err);
		if (ok != (i >= ARRAY_LEN(bad)))
			fail_msg("check value %s: %s", value, ok ? "accepted" : err.detail);
		if (ok)
			schema_unref(s);
	}
}

/* Over-long names that become one after cutting. */
static void test_truncation_collision(void **state UNUSED)
{
	refused("{'models':[{'model_name':'M','table_name':'t123456789012345678901234567890123456789','columns':["
		"{'name':'c12345678901234567890_a','logical_type':'integer','index':true},"
		"{'name':'c12345678901234567890_b','logical_type':'integer','index':true}]}]}",
		"/models/0/indexes/1", "cut at 63");
}

static void test_all_faults(void **state UNUSED)
{
	json_t *d = json_object(), *models = json_array();
	struct schema *s = NULL;

	refused("{'models':[{'model_name':7,'columns':[{}]},{'model_name':'B','columns':['x'," ID "]}]}",
		"/models/1/columns/0", "object");
	assert_int_equal(err.n_faults, 4);
	assert_string_equal(err.pointer, "/models/0/model_name");
	(void)json_object_set_new(d, "models", models);
	for (int i = 0; i < 300; i++)
		(void)json_array_append_new(models, json_object());
	assert_false(schema_from_json(d, NULL, &arena, &s, &err));
	assert_int_equal(err.n_faults, LIMIT_ERR_FAULTS);
	json_decref(d);
}

static void test_merge(void **state UNUSED)
{
	struct schema *a =
		made("{'models':[{'model_name':'A','columns':[" ID "]},{'model_name':'B','columns':[" ID
		     ",{'name':'a_id','logical_type':'integer'}],'foreign_keys':[{'column':'a_id','to_table':'a'}]}]}");
	struct schema *b = NULL, *c = NULL;

	assert_true(
		schema_from_json(doc("{'models':[{'model_name':'C','columns':[" ID "]},{'model_name':'A','columns':[" ID
				     ",{'name':'x','logical_type':'string','nullable':true}]}]}"),
				 a, &arena, &b, &err));
	assert_int_equal(b->n_models, 3);
	assert_int_equal(schema_model(b, STR("A"))->n_columns, 2);
	assert_int_equal(schema_model(a, STR("A"))->n_columns, 1); /* snapshots do not change */
	assert_non_null(model_relation(schema_model(b, STR("A")), STR("b_set")));
	assert_true(schema_without(b, STR("B"), &arena, &c, &err));
	assert_int_equal(c->n_models, 2);
	assert_int_equal(schema_model(c, STR("A"))->n_relations, 0);
	schema_unref(c);
	assert_false(schema_without(b, STR("Nope"), &arena, &c, &err));
	assert_int_equal(err.code, ERR_MODEL_NOT_FOUND);
	/* a model of the old set that the new one breaks: A loses what B points at */
	assert_false(schema_from_json(doc("{'models':[{'model_name':'A','columns':[{'name':'k','logical_type':'string',"
					  "'primary_key':true}]}]}"),
				      b, &arena, &c, &err));
	assert_int_equal(err.code, ERR_INVALID_SCHEMA);
	assert_string_equal(err.pointer, "/models");
	schema_unref(a);
	schema_unref(b);
}

static void test_registry(void **state UNUSED)
{
	struct schema_registry r;
	struct schema *first, *second = NULL;

	schema_registry_init(&r);
	first = schema_registry_get(&r);
	assert_int_equal(first->n_models, 0);
	assert_true(schema_registry_apply(&r, doc(MODEL("A", "", "")), &(struct schema_change){.replace_all = true},
					  &arena, &second, &err));
	assert_int_equal(first->n_models, 0);
	assert_true(second->generation > first->generation);
	schema_unref(first);
	schema_unref(second);
	assert_false(
		schema_registry_apply(&r, doc("{'models':[{}]}"), &(struct schema_change){0}, &arena, &second, &err));
	assert_true(
		schema_registry_apply(&r, doc(MODEL("B", "", "")), &(struct schema_change){0}, &arena, &second, &err));
	assert_int_equal(second->n_models, 2);
	schema_unref(second);
	assert_true(schema_registry_remove(&r, STR("A"), &arena, &err));
	assert_false(schema_registry_remove(&r, STR("A"), &arena, &err));
	first = schema_registry_get(&r);
	assert_int_equal(first->n_models, 1);
	schema_unref(first);
	assert_true(schema_registry_clear(&r, &arena, &err));
	first = schema_registry_get(&r);
	assert_int_equal(first->n_models, 0);
	schema_unref(first);
	schema_registry_done(&r);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_fingerprint_vector),
		TEST(test_invoice_vector),
		TEST(test_short_form),
		TEST(test_effective_types),
		TEST(test_optional_members),
		TEST(test_keys),
		TEST(test_implied_entries),
		TEST(test_names),
		TEST(test_envelope_refusals),
		TEST(test_shape_refusals),
		TEST(test_meaning_refusals),
		TEST(test_check_literals),
		TEST(test_truncation_collision),
		TEST(test_all_faults),
		TEST(test_merge),
		TEST(test_registry),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
