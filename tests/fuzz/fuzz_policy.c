/* Policy: whatever URL it lets through, libpq must read the hosts that the patterns name out of it and no file of the
 * server's, and SQLite a path in its directory. */
#include <libpq-fe.h>

#include "handlers/resources/url_policy.h"
#include "store/connection/dsn.h"
#include "tests/fuzz/fuzz_common.h"

#define DOMAIN ".db.test"

static void check_host(struct str hosts)
{
	struct str host;

	while (str_split(&hosts, ',', &host)) {
		if (str_eq_z(host, "one.test"))
			continue;
		if (host.len < strlen(DOMAIN) ||
		    memcmp(host.p + host.len - strlen(DOMAIN), DOMAIN, strlen(DOMAIN)) != 0)
			abort();
	}
}

static void check_postgres(const struct dsn *dsn)
{
	static const char *const never[] = {"hostaddr", "passfile", "service",     "sslcert",
					    "sslkey",   "sslcrl",   "sslrootcert", "sslcrldir"};
	PQconninfoOption *all = PQconninfoParse(dsn->conninfo.p, NULL);

	for (const PQconninfoOption *o = all; o != NULL && o->keyword != NULL; o++) {
		if (o->val == NULL)
			continue;
		if (strcmp(o->keyword, "host") == 0)
			check_host(str_z(o->val));
		if (strcmp(o->keyword, "dbname") == 0 && strchr(o->val, '/') != NULL)
			abort();
		for (size_t i = 0; i < ARRAY_LEN(never); i++)
			if (strcmp(o->keyword, never[i]) == 0)
				abort();
	}
	PQconninfoFree(all);
}

static void check_sqlite(const struct dsn *dsn)
{
	struct str path = dsn->path, part;

	if (dsn->mode == SQLITE_MODE_MEMORY)
		return;
	if (!str_starts(path, STR("/data/")))
		abort();
	while (str_split(&path, '/', &part))
		if (str_eq_z(part, ".."))
			abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct str patterns[] = {STR("postgresql://one.test:5432/app?*"), STR("postgresql://one.test:*/app"),
				       STR("postgres://*" DOMAIN "/app"), STR("sqlite:*")};
	const struct app app = {.allow_urls = patterns,
				.n_allow_urls = ARRAY_LEN(patterns),
				.sqlite_dir = STR("/data"),
				.sqlite_dir_given = STR("/link")};
	struct arena a;
	struct err err;
	struct dsn dsn;

	arena_init(&a);
	struct str url = arena_str(&a, fuzz_text(data, size));
	if (dsn_parse(&a, url, &dsn, &err) && url_allowed(&app, &a, &url, &err)) {
		if (!dsn_parse(&a, url, &dsn, &err))
			abort();
		if (dsn.dialect == DIALECT_SQLITE)
			check_sqlite(&dsn);
		else
			check_postgres(&dsn);
	}
	arena_done(&a);
	return 0;
}
