/* Every route of the table is found by a path of its own, whatever its parameters are, and by no shorter one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "handlers/routes.h"
#include "service/base/strbuf.h"
#include "service/http/router.h"

#include "service/base/banned.h"

/* The template with `value` for each parameter. */
static struct str filled(struct arena *a, const char *template, const char *value)
{
	struct strbuf b;
	struct str s;

	strbuf_init(&b, 0);
	for (const char *p = template; *p != '\0'; p++) {
		if (*p != '{') {
			strbuf_putc(&b, *p);
			continue;
		}
		strbuf_puts(&b, value);
		while (*p != '}')
			p++;
	}
	s = arena_str(a, strbuf_str(&b));
	strbuf_done(&b);
	return s;
}

static const struct route_def *found(const struct route_table *t, struct arena *a, enum http_method method,
				     struct str path)
{
	struct request req = {.method = method, .path = path};
	struct str allow;
	const enum route_match m = router_match(t, &req, &allow);

	*a = req.arena;
	return m == ROUTE_FOUND ? req.route : NULL;
}

static void test_every_route(void **state)
{
	static const char *const values[] = {"a", "ab", "777", "a-name-that-is-longer-than-eight-bytes", "%41%42"};
	const struct route_table t = routes_table();

	(void)state;
	for (size_t i = 0; i < t.n_routes; i++) {
		const struct route_def *r = &t.routes[i];

		for (size_t k = 0; k < sizeof(values) / sizeof(values[0]); k++) {
			struct arena a, scratch = {0};

			arena_init(&a);
			const struct str path = filled(&a, r->path, values[k]);
			assert_ptr_equal(found(&t, &scratch, r->method, path), r);
			arena_done(&scratch);
			const struct str cut = str_n(path.p, path.len - 1);
			if (cut.len > 1 && strchr(r->path, '{') == NULL)
				assert_ptr_not_equal(found(&t, &scratch, r->method, cut), r);
			arena_done(&scratch);
			arena_done(&a);
		}
	}
}

static void test_what_is_none(void **state)
{
	static const char *const paths[] = {"/v1",        "/v1/",       "/v1/m", "/v1/models/a/recordz/1",
					    "/v2/models", "/v1/modelz", ""};
	const struct route_table t = routes_table();

	(void)state;
	for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
		struct arena scratch = {0};

		assert_null(found(&t, &scratch, HTTP_GET, str_z(paths[i])));
		arena_done(&scratch);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_route),
		cmocka_unit_test(test_what_is_none),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
