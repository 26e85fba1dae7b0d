/* Database URLs: what is accepted, refused, shown and scrubbed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "store/connection/dsn.h"
#include "tests/support/scratch.h"

#include "service/base/banned.h"

static struct dsn parsed(const char *url)
{
	struct dsn d;

	if (!dsn_parse(&arena, str_z(url), &d, &err))
		fail_msg("%s: %s", url, err.detail);
	return d;
}

static void refused(const char *url, enum err_code code)
{
	struct dsn d;

	memset(&err, 0, sizeof(err));
	if (dsn_parse(&arena, str_z(url), &d, &err))
		fail_msg("%s was accepted", url);
	if (err.code != code)
		fail_msg("%s: %s: %s", url, err_code_name(err.code), err.detail);
}

static void assert_str(struct str s, const char *z)
{
	if (!str_eq_z(s, z))
		fail_msg("\"%.*s\" instead of \"%s\"", STR_FMT(s), z);
}

static void sqlite_paths(void **state)
{
	static const struct {
		const char *url, *path;
		enum sqlite_mode mode;
	} cases[] = {
		{"sqlite:rel.db", "rel.db", SQLITE_MODE_RW},
		{"sqlite://rel.db", "rel.db", SQLITE_MODE_RW},
		{"sqlite:///abs/x.db", "/abs/x.db", SQLITE_MODE_RW},
		{"sqlite:/abs/x.db?mode=rwc", "/abs/x.db", SQLITE_MODE_RWC},
		{"sqlite:x.db?mode=ro", "x.db", SQLITE_MODE_RO},
		{"sqlite:x%20y%3f.db?mode=rw", "x y?.db", SQLITE_MODE_RW},
		{"sqlite:x#y.db", "x#y.db", SQLITE_MODE_RW},
		{"sqlite:file:x.db", "file:x.db", SQLITE_MODE_RW},
		{"sqlite::memory:", "", SQLITE_MODE_MEMORY},
		{"sqlite::memory:?mode=rwc", "", SQLITE_MODE_MEMORY},
		{"sqlite://:memory:", "", SQLITE_MODE_MEMORY},
		{"sqlite:%3Amemory%3A", "", SQLITE_MODE_MEMORY},
		{"sqlite:name?mode=memory&cache=shared", "", SQLITE_MODE_MEMORY},
		{"sqlite:x.db?mode=rw&mode=ro&", "x.db", SQLITE_MODE_RO},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		const struct dsn d = parsed(cases[i].url);

		assert_int_equal(d.dialect, DIALECT_SQLITE);
		assert_str(d.path, cases[i].path);
		assert_int_equal(d.mode, cases[i].mode);
		assert_false(d.immutable);
	}
	assert_true(parsed("sqlite:x.db?mode=ro&immutable=1").immutable);
	assert_false(parsed("sqlite:x.db?immutable=false").immutable);
	assert_str(parsed("sqlite:x.db?ferro_search_path=abc").search_path, "abc");
}

static void sqlite_refusals(void **state)
{
	static const char *const urls[] = {
		"sqlite:",
		"sqlite://",
		"sqlite:?mode=rwc",
		"sqlite:x.db?mode=rwx",
		"sqlite:x.db?mode",
		"sqlite:x.db?cache=all",
		"sqlite:x.db?immutable=maybe",
		"sqlite:x.db?vfs=unix-none",
		"sqlite:x.db?nolock=1",
		"sqlite:x%2.db",
		"sqlite:x%zz.db",
		"sqlite:x%00.db",
		"sqlite:%ff.db",
		"sqlite:x.db?mode=%r",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(urls); i++)
		refused(urls[i], ERR_INVALID_URL);
	refused("sqlite:x.db?ferro_search_path=a.b", ERR_INVALID_SEARCH_PATH);
}

/* CON-22 */
static void unknown_sqlite_parameters_are_redacted(void **state)
{
	(void)state;
	refused("sqlite:/data/x.db?mode=rwc&password=supersecret&apikey=topsecret", ERR_INVALID_URL);
	assert_non_null(strstr(err.detail, "DB Connection failed"));
	assert_non_null(strstr(err.detail, "password=<redacted>"));
	assert_non_null(strstr(err.detail, "apikey=<redacted>"));
	assert_null(strstr(err.detail, "supersecret"));
	assert_null(strstr(err.detail, "topsecret"));
}

/* CON-19, CON-20, CON-23, CON-26 */
static void unknown_schemes(void **state)
{
	(void)state;
	refused("mysql://user:pass@localhost/db", ERR_UNSUPPORTED_SCHEME);
	assert_non_null(strstr(err.detail, "Unsupported database URL scheme 'mysql'. "
					   "Supported schemes: sqlite, postgres, postgresql"));
	assert_null(strstr(err.detail, "pass"));
	refused("nonexistent_db://localhost", ERR_UNSUPPORTED_SCHEME);
	assert_non_null(strstr(err.detail, "DB Connection failed"));
	refused("postgres+srv://app_user:supersecret@example.invalid/app?access_token=topsecret",
		ERR_UNSUPPORTED_SCHEME);
	assert_non_null(strstr(err.detail, "app_user:<redacted>@"));
	assert_non_null(strstr(err.detail, "access_token=<redacted>"));
	assert_non_null(strstr(err.detail, "'postgres+srv'"));
	assert_null(strstr(err.detail, "supersecret"));
	assert_null(strstr(err.detail, "topsecret"));
	/* no URL at all: nothing of it may be shown */
	refused("host=localhost password=hunter2", ERR_UNSUPPORTED_SCHEME);
	assert_null(strstr(err.detail, "hunter2"));
	refused("app:hunter2@localhost", ERR_UNSUPPORTED_SCHEME);
	assert_null(strstr(err.detail, "hunter2"));
	refused("", ERR_UNSUPPORTED_SCHEME);
	refused("sqlite", ERR_UNSUPPORTED_SCHEME);
	refused("postgres:db", ERR_UNSUPPORTED_SCHEME);
}

static void search_path_is_cut_out(void **state)
{
	static const struct {
		const char *url, *conninfo, *path;
	} cases[] = {
		{"postgres://u@h/d", "postgres://u@h/d", NULL},
		{"postgresql://u@h/d?sslmode=disable", "postgresql://u@h/d?sslmode=disable", NULL},
		{"postgres://h/d?ferro_search_path=a", "postgres://h/d", "a"},
		{"postgres://h/d?ferro_search_path=a&sslmode=disable", "postgres://h/d?sslmode=disable", "a"},
		{"postgres://h/d?sslmode=disable&ferro_search_path=A_1", "postgres://h/d?sslmode=disable", "A_1"},
		{"postgres://h/d?x=1&ferro_search_path=a&y=2&ferro_search_path=b", "postgres://h/d?x=1&y=2", "b"},
		{"postgres://u:p?w@h/d?ferro_search_path=a", "postgres://u:p%3Fw@h/d", "a"}, /* as libpq reads it */
		{"postgres://h1:1,h2:2/d?target_session_attrs=any", "postgres://h1:1,h2:2/d?target_session_attrs=any",
		 NULL},
		{"postgres:///d?host=%2Frun", "postgres:///d?host=%2Frun", NULL},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		const struct dsn d = parsed(cases[i].url);

		assert_int_equal(d.dialect, DIALECT_POSTGRES);
		assert_str(d.conninfo, cases[i].conninfo);
		if (cases[i].path == NULL)
			assert_null(d.search_path.p);
		else
			assert_str(d.search_path, cases[i].path);
	}
	refused("postgres://h/d?ferro_search_path=", ERR_INVALID_SEARCH_PATH);
	refused("postgres://h/d?ferro_search_path", ERR_INVALID_SEARCH_PATH);
	refused("postgres://h/d?ferro_search_path=a,b", ERR_INVALID_SEARCH_PATH);
	refused("postgres://h/d?ferro_search_path=a%20b", ERR_INVALID_SEARCH_PATH);
}

static void redaction(void **state)
{
	static const struct {
		const char *url, *shown;
	} cases[] = {
		{"postgres://u:pw@h:5432/d", "postgres://u:<redacted>@h:5432/d"},
		{"postgres://u@h/d", "postgres://u@h/d"},
		{"postgres://h:5432/d", "postgres://h:5432/d"},
		{"postgres://[::1]:5432/d", "postgres://[::1]:5432/d"},
		{"postgres://h1:1,h2:2/d", "postgres://h1:1,h2:2/d"},
		{"postgres://u:p@w@h/d", "postgres://u:<redacted>@h/d"},
		{"postgres://u:p#w@h/d", "postgres://u:<redacted>@h/d"},
		{"postgres://u:p?w@h/d", "postgres://u:<redacted>@h/d"},
		{"postgres://u:p/w@h/d", "postgres://u:<redacted>@h/d"},
		{"postgres://u:p:w@h/d", "postgres://u:<redacted>@h/d"},
		{"postgres://u:p?a=b@h/d", "postgres://u:<redacted>@h/d"},
		{"postgres://u:@h/d", "postgres://u:<redacted>@h/d"},
		{"postgres://u:pw", "postgres://u:<redacted>"},
		{"postgres://u:p?w@h/d?sslmode=disable", "postgres://u:<redacted>@h/d?sslmode=disable"},
		{"postgres://u@h/d?password=s@cret&sslmode=x", "postgres://u@h/d?password=<redacted>&sslmode=x"},
		{"postgres://h/d?My_Secret_x=1#f&a=2", "postgres://h/d?My_Secret_x=<redacted>&a=2"},
		{"postgres://h/d?pass%77ord=x", "postgres://h/d?pass%77ord=<redacted>"},
		{"postgres://h/d?sslpassword=x&passfile=/p", "postgres://h/d?sslpassword=<redacted>&passfile=/p"},
		{"postgres://h/d?token=&a", "postgres://h/d?token&a"},
		{"sqlite:a@b:c.db?mode=rwc", "sqlite:a@b:c.db?mode=rwc"},
		{"mysql:u:p@h", "mysql:<redacted>"},
		{"p@ss:word", "<redacted>"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		assert_str(dsn_redact(&arena, str_z(cases[i].url)), cases[i].shown);
}

/* Whatever surrounds it, a password never survives redaction. */
static void no_password_survives(void **state)
{
	static const char *const passwords[] = {"hunter2",   "@hunter2",   "hunter2@",    "#hunter2",    "?hunter2",
						"/hunter2",  "a@hunter2",  "a#hunter2@b", "a?hunter2",   "a/hunter2?b",
						"a&hunter2", "a:hunter2:", "%40hunter2",  "a?b=hunter2", "a?b&hunter2"};
	static const char *const tails[] = {"h/d", "h:5432/d?sslmode=disable", "h/d?application_name=a@b", "",
					    "[::1]/d#f"};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(passwords); i++) {
		for (size_t j = 0; j < ARRAY_LEN(tails); j++) {
			const struct str url = arena_printf(&arena, "postgres://app:%s@%s", passwords[i], tails[j]);
			const struct str shown = dsn_redact(&arena, url);

			if (memmem(shown.p, shown.len, "hunter2", 7) != NULL)
				fail_msg("%.*s shows as %.*s", STR_FMT(url), STR_FMT(shown));
		}
	}
}

static void messages_are_scrubbed(void **state)
{
	const struct dsn d = parsed("postgres://u:p%40ssword@h/d?sslpassword=key99&sslmode=require");
	const struct dsn brief = parsed("postgres://u:a@h/d");
	const struct dsn sqlite = parsed("sqlite:x.db");

	(void)state;
	assert_str(dsn_scrub(&arena, &d, STR("x p@ssword y p%40ssword z key99")),
		   "x <redacted> y <redacted> z <redacted>");
	assert_str(dsn_scrub(&arena, &d, STR("mode require")), "mode require");
	/* a one-letter password is taken out where it stands alone only */
	assert_str(dsn_scrub(&arena, &brief, STR("a password 'a' was bad")),
		   "<redacted> password '<redacted>' was bad");
	assert_str(dsn_scrub(&arena, &sqlite, STR("as it was")), "as it was");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(sqlite_paths, setup, teardown),
		cmocka_unit_test_setup_teardown(sqlite_refusals, setup, teardown),
		cmocka_unit_test_setup_teardown(unknown_sqlite_parameters_are_redacted, setup, teardown),
		cmocka_unit_test_setup_teardown(unknown_schemes, setup, teardown),
		cmocka_unit_test_setup_teardown(search_path_is_cut_out, setup, teardown),
		cmocka_unit_test_setup_teardown(redaction, setup, teardown),
		cmocka_unit_test_setup_teardown(no_password_survives, setup, teardown),
		cmocka_unit_test_setup_teardown(messages_are_scrubbed, setup, teardown),
	};

	return cmocka_run_group_tests_name("dsn", tests, NULL, NULL);
}
