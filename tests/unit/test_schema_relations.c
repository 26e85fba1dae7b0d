/* Relations: derived names and kinds, declared ones resolved, every refusal. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "tests/support/schema_docs.h"

static const struct relation *relation(const struct schema *s, const char *model, const char *name)
{
	const struct model *m = schema_model(s, str_z(model));
	const struct relation *r;

	assert_non_null(m);
	r = model_relation(m, str_z(name));
	if (r == NULL)
		fail_msg("%s has no relation %s", model, name);
	return r;
}

#define INT(name) ",{'name':'" name "','logical_type':'integer','nullable':true}"
#define FK(column, table) "{'column':'" column "','to_table':'" table "'}"
#define USER "{'model_name':'User','columns':[" ID "]}"

static void test_derived(void **state UNUSED)
{
	struct schema *s = made("{'models':[" USER ",{'model_name':'Post','columns':[" ID INT("author_id") INT(
		"editor") "],'foreign_keys':[" FK("author_id", "user") ",{'column':'editor','to_table':'user',"
								       "'related_name':'edited'}]}]}");
	const struct relation *r = relation(s, "Post", "author");

	assert_int_equal(r->kind, REL_FORWARD);
	assert_true(r->local && r->to_one && !r->declared);
	assert_true(str_eq_z(r->column, "author_id"));
	assert_true(str_eq_z(r->to_column, "id"));
	assert_ptr_equal(r->target, schema_model(s, STR("User")));
	assert_int_equal(relation(s, "Post", "editor_ref")->kind, REL_FORWARD); /* "editor" is the column */
	r = relation(s, "User", "edited");
	assert_int_equal(r->kind, REL_REVERSE);
	assert_true(!r->local && !r->to_one);
	assert_ptr_equal(r->target, schema_model(s, STR("Post")));
	assert_true(str_eq_z(r->column, "editor"));
	(void)relation(s, "User", "post_author_set"); /* two keys to one target: the column is in the name */
	assert_int_equal(schema_model(s, STR("User"))->n_relations, 2);
	schema_unref(s);
}

static void test_derived_unique(void **state UNUSED)
{
	struct schema *s =
		made("{'models':[" USER ",{'model_name':'Profile','columns':[" ID
		     ",{'name':'user_id','logical_type':'integer','unique':true}],'foreign_keys':[" FK(
			     "user_id", "user") "]},{'model_name':'Node','columns':[" ID INT("parent_id")
			     INT("user") "],'foreign_keys':[" FK("parent_id", "node") "," FK("user", "nowhere") "]}]}");
	const struct relation *r = relation(s, "User", "profile_set");

	assert_int_equal(r->kind, REL_ONE_TO_ONE);
	assert_true(r->to_one && !r->local);
	assert_int_equal(relation(s, "Profile", "user")->kind, REL_FORWARD);
	(void)relation(s, "Node", "parent");
	(void)relation(s, "Node", "node_set");
	assert_int_equal(schema_model(s, STR("Node"))->n_relations, 2); /* nothing to a table outside the set */
	schema_unref(s);
}

static void test_derived_collisions(void **state UNUSED)
{
	/* "a_set" is a column of the target; "x" is a column beside "x_id" */
	struct schema *s = made("{'models':[{'model_name':'T','columns':[" ID INT(
		"a_set") "]},{'model_name':'A','columns':[" ID INT("x")
					INT("x_id") "],'foreign_keys':[" FK("x_id", "t") "]}]}");

	(void)relation(s, "T", "a_set_2");
	(void)relation(s, "A", "x_id_ref");
	schema_unref(s);
}

static void test_declared(void **state UNUSED)
{
	struct schema *s = made(
		"{'models':[{'model_name':'User','columns':[" ID "],'relations':["
		"{'name':'posts','kind':'reverse','target':'Post'}]},{'model_name':'Post','columns':[" ID
			INT("author_id") "],'foreign_keys':[" FK(
				"author_id",
				"user") "],'relations':["
					"{'name':'writer','kind':'forward','target':'User','column':'author_id'}]}]}");
	const struct relation *r = relation(s, "User", "posts");
	const json_t *o;

	assert_true(r->declared && !r->local && str_eq_z(r->column, "author_id"));
	assert_true(relation(s, "Post", "writer")->declared);
	/* what is declared is not derived again */
	assert_int_equal(schema_model(s, STR("User"))->n_relations, 1);
	assert_int_equal(schema_model(s, STR("Post"))->n_relations, 1);
	o = json_array_get(json_object_get(golden_model(&arena, schema_model(s, STR("Post"))), "relations"), 0);
	assert_string_equal(golden_text(&arena, o),
			    "{\"column\":\"author_id\",\"kind\":\"forward\",\"name\":\"writer\",\"target\":\"User\"}");
	schema_unref(s);
}

#define STUDENT(rest) "{'model_name':'Student','columns':[" ID "]" rest "}"
#define JOIN \
	"{'model_name':'enrollments','columns':[{'name':'student_id','logical_type':'integer'}," \
	"{'name':'course_id','logical_type':'integer'}],'foreign_keys':[" FK("student_id", "student") "," FK( \
		"course_id", "course") "]}"

static void test_many_to_many(void **state UNUSED)
{
	struct schema *s = made("{'models':[" STUDENT(
		",'relations':[{'name':'courses','kind':'many_to_many','target':'Course',"
		"'through':'enrollments'}]") ",{'model_name':'Course','columns':[{'name':'code','logical_type':"
					     "'string','primary_key':true}]}," JOIN "]}");
	const struct relation *r = relation(s, "Student", "courses");

	assert_int_equal(r->kind, REL_MANY_TO_MANY);
	assert_false(r->to_one);
	assert_true(str_eq_z(r->through, "enrollments"));
	assert_true(str_eq_z(r->source_column, "student_id") && str_eq_z(r->source_key, "id"));
	assert_true(str_eq_z(r->target_column, "course_id") && str_eq_z(r->target_key, "code"));
	/* the fingerprint does not know relations */
	{
		struct schema *plain =
			made("{'models':[" STUDENT("") ",{'model_name':'Course','columns':[{'name':'code',"
						       "'logical_type':'string','primary_key':true}]}," JOIN "]}");

		assert_string_equal(schema_fingerprint(plain), schema_fingerprint(s));
		schema_unref(plain);
	}
	schema_unref(s);
}

static void test_self_many_to_many(void **state UNUSED)
{
	struct schema *s =
		made("{'models':[{'model_name':'User','columns':[" ID "],'relations':[{'name':'follows','kind':"
		     "'many_to_many','target':'User','through':'follow','source_column':'from_id'}]},"
		     "{'model_name':'Follow','columns':[{'name':'from_id','logical_type':'integer'},"
		     "{'name':'to_id','logical_type':'integer'}],'foreign_keys':[" FK("from_id", "user") "," FK(
			     "to_id", "user") "]}]}");
	const struct relation *r = relation(s, "User", "follows");

	assert_true(str_eq_z(r->source_column, "from_id"));
	assert_true(str_eq_z(r->target_column, "to_id"));
	schema_unref(s);
}

static void test_one_to_one(void **state UNUSED)
{
	struct schema *s = made(
		"{'models':[{'model_name':'User','columns':[" ID "],'relations':[{'name':'profile','kind':"
		"'one_to_one','target':'Profile'}]},{'model_name':'Profile','columns':[" ID INT(
			"user_id") "],'foreign_keys':[" FK("user_id",
							   "user") "],'relations':[{'name':'owner','kind':'one_to_one',"
								   "'target':'User','column':'user_id'}]}]}");

	assert_false(relation(s, "User", "profile")->local);
	assert_true(relation(s, "User", "profile")->to_one);
	assert_true(relation(s, "Profile", "owner")->local);
	assert_int_equal(schema_model(s, STR("User"))->n_relations, 1);
	assert_int_equal(schema_model(s, STR("Profile"))->n_relations, 1);
	schema_unref(s);
}

#define ONE(relation) \
	"{'models':[" USER ",{'model_name':'P','columns':[" ID INT("a_id") \
		INT("b_id") "],'foreign_keys':[" FK("a_id", "user") "," FK("b_id", "user") "],'relations':[" relation \
											   "]}]}"

static void test_refusals(void **state UNUSED)
{
	const char *at = "/models/1/relations/0";

	refused_first(ONE("{'name':'r','kind':'forward','target':'Nope'}"), at, "Nope");
	refused_first(ONE("{'name':'r','kind':'forward','target':'User'}"), at, "more than one");
	refused_first(ONE("{'name':'r','kind':'reverse','target':'User'}"), at, "no foreign key");
	refused_first(ONE("{'name':'r','kind':'forward','target':'User','column':'zz'}"), at, "zz");
	refused_first(ONE("{'name':'a_id','kind':'forward','target':'User','column':'a_id'}"), at, "taken");
	refused_first(ONE("{'name':'r','kind':'forward','target':'User','column':'a_id'},"
			  "{'name':'r','kind':'forward','target':'User','column':'b_id'}"),
		      "/models/1/relations/1", "taken");
	refused_first(ONE("{'name':'r','kind':'many_to_many','target':'User'}"), at, "through");
	refused_first(ONE("{'name':'r','kind':'many_to_many','target':'User','through':'nope'}"), at, "nope");
	refused_first(ONE("{'name':'r','kind':'many_to_many','target':'User','through':'p'}"), at, "source_column");
	refused_first(
		"{'models':[{'model_name':'User','columns':[" ID INT("posts") "]},{'model_name':'P','columns':[" ID INT(
			"u_id") "],'foreign_keys':[{'column':'u_id','to_table':'user','related_name':'posts'}]}]}",
		"/models/1", "related_name");
}

/* A declared relation keeps its model from being removed. */
static void test_needed_model(void **state UNUSED)
{
	struct schema *s =
		made("{'models':[{'model_name':'User','columns':[" ID "],'relations':[{'name':'posts','kind':"
		     "'reverse','target':'Post'}]},{'model_name':'Post','columns':[" ID INT(
			     "author_id") "],'foreign_keys':[" FK("author_id", "user") "]}]}");
	struct schema *less = NULL;

	assert_false(schema_without(s, STR("Post"), &arena, &less, &err));
	assert_int_equal(err.code, ERR_INVALID_SCHEMA);
	assert_true(schema_without(s, STR("User"), &arena, &less, &err));
	assert_int_equal(schema_model(less, STR("Post"))->n_relations, 0);
	schema_unref(less);
	schema_unref(s);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_derived),    TEST(test_derived_unique), TEST(test_derived_collisions),
		TEST(test_declared),   TEST(test_many_to_many),   TEST(test_self_many_to_many),
		TEST(test_one_to_one), TEST(test_refusals),       TEST(test_needed_model),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
