/* Which URLs may be connected without a server whose certificate is checked, where require_database_tls is set. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>

#include "store/driver/postgres/postgres_driver.h"

#include "service/base/banned.h"

static bool required; /* set before the first open */

void driver_postgres_require_tls(void)
{
	required = true;
}

static struct str option(const PQconninfoOption *options, const char *key)
{
	for (const PQconninfoOption *o = options; o != NULL && o->keyword != NULL; o++)
		if (strcmp(o->keyword, key) == 0)
			return o->val != NULL && o->val[0] != '\0' ? str_z(o->val) : STR_NONE;
	return STR_NONE;
}

/* A socket in the file system, or an address of this machine by its number or the name that everybody gives it. */
static bool is_loopback(struct arena *a, struct str host)
{
	struct in_addr four;
	struct in6_addr six;
	const char *text = arena_strz(a, host);

	if (host.len == 0 || host.p[0] == '/' || host.p[0] == '@' || str_ieq_z(host, "localhost"))
		return true;
	if (inet_pton(AF_INET, text, &four) == 1)
		return ntohl(four.s_addr) >> 24 == 127;
	return inet_pton(AF_INET6, text, &six) == 1 && IN6_IS_ADDR_LOOPBACK(&six);
}

static bool all_loopback(struct arena *a, struct str list)
{
	for (struct str one; str_split(&list, ',', &one);)
		if (!is_loopback(a, one))
			return false;
	return true;
}

/* What the URL leaves out is taken from the environment and its service file, as libpq does when it connects; a service
 * that the URL names may say anything, but for what the URL says itself. */
static bool stays_or_checks(struct arena *a, const PQconninfoOption *url, const PQconninfoOption *defaults)
{
	const bool known = defaults != NULL && option(url, "service").p == NULL;
	struct str mode = option(url, "sslmode"), host = option(url, "host"), addr = option(url, "hostaddr");

	if (mode.p == NULL && known)
		mode = option(defaults, "sslmode");
	if (mode.p != NULL && str_eq_z(mode, "verify-full"))
		return true;
	if (host.p == NULL)
		host = option(defaults, "host");
	if (addr.p == NULL)
		addr = option(defaults, "hostaddr");
	return known && all_loopback(a, host) && all_loopback(a, addr);
}

bool pg_tls_enough(const PQconninfoOption *options, struct err *err)
{
	struct arena a;
	PQconninfoOption *defaults;
	bool ok;

	if (!required)
		return true;
	arena_init(&a);
	defaults = PQconndefaults();
	ok = stays_or_checks(&a, options, defaults);
	PQconninfoFree(defaults);
	arena_done(&a);
	return ok || err_set(err, ERR_FORBIDDEN,
			     "the server's policy refuses this URL: beyond loopback a database needs "
			     "sslmode=verify-full (\"require_database_tls\")");
}
