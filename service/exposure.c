/* See exposure.h. */
#include "service/exposure.h"

#include "service/base/log.h"
#include "service/http/server.h"

#include "service/base/banned.h"

#define ADMIN_KEY_BYTES_MIN 16 /* of one that the network may guess at */

/* Listening beyond loopback without keys hands the databases to everybody who reaches the port. */
bool exposure_check(const struct config *c, bool keys, struct err *err)
{
	bool loopback;
	if (!server_address_is_loopback(c->listen, &loopback, err))
		return false;
	if (loopback)
		return true;
	if (c->admin_key.len > 0 && c->admin_key.len < ADMIN_KEY_BYTES_MIN)
		return err_set(err, ERR_INVALID_REQUEST,
			       "refusing to listen on %.*s: \"admin_key\" has fewer than %d characters",
			       STR_FMT(c->listen), ADMIN_KEY_BYTES_MIN);
	if (!keys && !c->insecure_no_auth)
		return err_set(err, ERR_INVALID_REQUEST,
			       "refusing to listen on %.*s without API keys: configure \"keys_file\", or pass "
			       "--insecure-no-auth",
			       STR_FMT(c->listen));
	if (server_library_version()[0] == '0')
		log_msg(LOG_WARN, "old_http_library",
			"listening beyond loopback on libmicrohttpd %s, which does not see all that is malformed; 1.0 "
			"does",
			server_library_version());
	if (!keys)
		log_msg(LOG_WARN, "no_auth",
			"listening beyond loopback without API keys: everybody who reaches the port may do everything");
	return true;
}
