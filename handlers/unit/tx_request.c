/* See tx_request.h. */
#include "handlers/unit/tx_request.h"

#include "handlers/unit/acting.h"
#include "service/auth/auth.h"
#include "service/base/num.h"

#include "service/base/banned.h"

#define TX_TIMEOUT_MAX_S 86400.0
#define TX_TIMEOUT_MIN_S 0.001

bool tx_request_isolation(struct str word, enum tx_isolation *ret)
{
	static const struct {
		const char *word;
		enum tx_isolation level;
	} levels[] = {{"read_committed", TX_ISO_READ_COMMITTED},
		      {"repeatable_read", TX_ISO_REPEATABLE_READ},
		      {"serializable", TX_ISO_SERIALIZABLE}};
	for (size_t i = 0; i < ARRAY_LEN(levels); i++) {
		if (!str_eq_z(word, levels[i].word))
			continue;
		*ret = levels[i].level;
		return true;
	}
	return false;
}

double tx_request_timeout_max(const struct app *app)
{
	const double max_s = app->store->options.tx_timeout_max_s;
	return max_s > 0 ? max_s : TX_TIMEOUT_MAX_S;
}

/* One parameter, each once. */
static bool read_option(struct str name, struct str value, double timeout_max_s, struct tx_options *o)
{
	if (str_eq_z(name, "isolation"))
		return o->isolation == TX_ISO_DEFAULT && tx_request_isolation(value, &o->isolation);
	if (str_eq_z(name, "timeout"))
		return o->timeout_s <= 0 && num_parse_double(value, &o->timeout_s) &&
		       o->timeout_s >= TX_TIMEOUT_MIN_S && o->timeout_s <= timeout_max_s;
	if (!str_eq_z(name, "read-only") || value.p != NULL || o->read_only)
		return false;
	o->read_only = true;
	return true;
}

bool tx_request_read(const struct request *req, struct tx_options *ret, struct err *err)
{
	const double max_s = tx_request_timeout_max(req->app);
	const struct principal_quotas own = principal_quotas(req);
	struct str rest = req->tx_new, part;
	*ret = (struct tx_options){
		.shares = {.connections = (size_t)own.connections, .transactions = (size_t)own.transactions}};
	(void)str_split(&rest, ';', &part); /* "new" */
	while (str_split(&rest, ';', &part)) {
		struct str name, value = str_trim(part);
		(void)str_split(&value, '=', &name);
		if (!read_option(name, value, max_s, ret))
			return err_set(
				err, ERR_TRANSACTION_NOT_FOUND,
				"Ferro-Transaction is the id of a transaction, or new with any of ;isolation=... "
				"(read_committed, repeatable_read, serializable), ;read-only and ;timeout=SECONDS "
				"(%g at most), not this",
				max_s);
	}
	return true;
}

bool tx_request_open(struct request *req, struct route *route, const struct tx_options *o, int64_t deadline,
		     struct err *err)
{
	const struct app *app = req->app;
	struct tx_options with = *o;
	with.since_ns = route->since_ns;
	return (route->session != NULL || acting_header(req, &with.settings, err)) &&
	       tx_open(app->store->transactions, route->conn, route->session, principal_name(req), &with, deadline,
		       &route->tx, err);
}
