/* The PostgreSQL driver against a server of its own: connecting, settings, closing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/support/postgres_database.h"

/* ---- connecting ------------------------------------------------------------------------------------ */

static void refused(struct str url, enum err_code want)
{
	struct dsn dsn;
	struct driver_db *db = open_db(&arena, url, &dsn);
	struct driver_conn *c;

	assert_err(pg->open(db, SECONDS(3), &c, &err), want);
	assert_null(strstr(err.detail, "s3cret"));
	pg->db_close(db);
}

/* A listening socket on the loopback; accepts nothing. */
static int listen_port(int backlog, int *ret_port)
{
	struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
	socklen_t len = sizeof(in);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&in, len), 0);
	assert_int_equal(listen(fd, backlog), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&in, &len), 0);
	*ret_port = ntohs(in.sin_port);
	return fd;
}

/* Several hosts: one that refuses, then one that does not answer at all, then the server. */
static void test_hosts(void **state)
{
	struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
	struct driver_conn *c;
	struct driver_db *db;
	struct dsn dsn;
	int closed, silent, fds[6], fd, quiet;
	int64_t from;
	struct rows r;

	NEEDS_SERVER();
	fd = listen_port(1, &closed);
	close(fd);
	quiet = listen_port(0, &silent);
	in.sin_port = htons((uint16_t)silent);
	/* its queue is full: further attempts to connect get no answer */
	for (size_t i = 0; i < ARRAY_LEN(fds); i++) {
		fds[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
		assert_true(fds[i] >= 0);
		if (connect(fds[i], (struct sockaddr *)&in, sizeof(in)) != 0)
			assert_int_equal(errno, EINPROGRESS);
	}
	assert_ok(raw_with(c1, "SHOW port", NULL, 0, &r));
	db = open_db(
		&arena,
		url_with(&arena, arena_printf(&arena,
					      "host=127.0.0.1,127.0.0.1,127.0.0.1&port=%d,%d,%.*s&connect_timeout=2&"
					      "target_session_attrs=read-write",
					      closed, silent, STR_FMT(r.cells[0].u.s))
					 .p),
		&dsn);
	from = clock_mono_ns();
	assert_ok(pg->open(db, SECONDS(20), &c, &err));
	assert_true(clock_mono_ns() - from > CLOCK_NS_PER_S); /* the silent one had its time */
	assert_true(clock_mono_ns() - from < 6 * CLOCK_NS_PER_S);
	assert_int_equal(number(c, "SELECT 1"), 1);
	pg->close(c);
	pg->db_close(db);
	for (size_t i = 0; i < ARRAY_LEN(fds); i++)
		close(fds[i]);
	close(quiet);
}

static void test_refused(void **state)
{
	struct driver_db *db;
	struct dsn dsn;
	int port, fd;
	int64_t from;

	NEEDS_SERVER();
	refused(url_with(&arena, "user=nobody_here&password=s3cret"), ERR_DATABASE_FORBIDDEN);
	refused(url_with(&arena, "dbname=not_there_s"), ERR_DATABASE_FORBIDDEN);
	assert_string_equal(err.sqlstate, "3D000");
	assert_ok(dsn_parse(&arena, STR("postgres://u:s3cret@localhost/db?no_such_parameter=1"), &dsn, &err));
	assert_err(pg->db_open(&dsn, &db, &err), ERR_INVALID_URL);
	assert_null(strstr(err.detail, "s3cret"));

	fd = listen_port(4, &port);
	from = clock_mono_ns();
	refused(arena_printf(&arena, "postgres://u:s3cret@127.0.0.1:%d/db", port), ERR_DATABASE_UNAVAILABLE);
	assert_true(clock_mono_ns() - from < 5 * CLOCK_NS_PER_S);
	close(fd);
	refused(arena_printf(&arena, "postgres://u:s3cret@127.0.0.1:%d/db", port), ERR_DATABASE_UNAVAILABLE);
	assert_non_null(strstr(err.detail, "refused"));
	refused(STR("postgres://u:s3cret@no-such-host.invalid/db"), ERR_DATABASE_UNAVAILABLE);
}

static void test_settings(void **state)
{
	struct dsn dsn;
	struct driver_db *db;
	struct driver_conn *c;

	NEEDS_SERVER();
	db = open_db(&arena, url_with(&arena, "options=-c%20datestyle%3Dgerman%20-c%20work_mem%3D5MB"), &dsn);
	assert_ok(pg->open(db, SECONDS(5), &c, &err));
	assert_text(c, "SHOW datestyle", "ISO, MDY");
	assert_text(c, "SHOW work_mem", "5MB");
	assert_text(c, "SHOW application_name", "ferrod");
	assert_text(c, "SHOW client_encoding", "UTF8");
	assert_text(c, "SHOW timezone", "UTC");
	assert_true(strlen(pg->server_version(c)) >= 2);
	assert_true(pg->server_version(c)[0] >= '1' && pg->server_version(c)[0] <= '9');
	assert_null(strchr(pg->server_version(c), ' '));
	assert_ok(pg->ping(c, SECONDS(5), &err));
	pg->close(c);
	pg->db_close(db);
	db = open_db(&arena, url_with(&arena, "application_name=other"), &dsn);
	assert_ok(pg->open(db, SECONDS(5), &c, &err));
	assert_text(c, "SHOW application_name", "other");
	pg->close(c);
	pg->db_close(db);
}

/* Closing a connection ends what runs on it. */
static void test_close_running(void **state)
{
	struct stmt s = {.sql = STR("SELECT generate_series(1, 2000000000) n -- closing"), .access = STMT_READ};
	struct cursor *cur;

	NEEDS_SERVER();
	assert_ok(pg->prepare(c1, &s, SECONDS(20), &cur, &err));
	pg->close(c1);
	c1 = NULL;
	for (int i = 0; i < 500; i++) {
		if (number(c2, "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%-- clo' || 'sing'") == 0)
			return;
		usleep(10000);
	}
	fail_msg("the statement still runs");
}

static void test_version(void **state)
{
	(void)state;
	assert_non_null(strchr(driver_postgres_version(), '.'));
	assert_ptr_equal(driver_postgres_version(), driver_postgres_version());
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, test_open, test_close)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_refused),
		TEST(test_settings),
		TEST(test_hosts),
		TEST(test_close_running),
		cmocka_unit_test(test_version),
	};

	return cmocka_run_group_tests(tests, group_open, group_close);
}
