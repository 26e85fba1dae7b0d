/* See acting.h. */
#include "handlers/unit/acting.h"

#include "handlers/unit/answer_head.h"
#include "service/auth/auth.h"
#include "store/exec/user_rights.h"

#include "service/base/banned.h"

static struct str header_of(struct request *req)
{
	return request_header_list(req, "Ferro-Setting");
}

bool acting_possible(const struct request *req, const struct connection *conn, struct err *err)
{
	const struct principal *p = req->principal;
	const bool has_role = p != NULL && p->role.p != NULL;
	if (conn->acting == ACTING_ROLE && !has_role)
		return err_set(err, ERR_FORBIDDEN, "connection \"%.*s\" acts by role, and %s", STR_FMT(conn->name),
			       p != NULL ? "this key has none" : "only keys have one");
	if (conn->acting != ACTING_ROLE && has_role)
		return err_set(err, ERR_FORBIDDEN,
			       "this key's role cannot be taken on connection \"%.*s\", which does not act by role",
			       STR_FMT(conn->name));
	if (conn->acting != ACTING_NONE || p == NULL || p->settings.n == 0)
		return true;
	return err_set(err, ERR_FORBIDDEN,
		       "this key's settings cannot be told to connection \"%.*s\", whose acting is none",
		       STR_FMT(conn->name));
}

static bool takes_settings(const struct connection *conn, struct err *err)
{
	return conn->acting != ACTING_NONE ||
	       err_set(err, ERR_INVALID_REQUEST, "connection \"%.*s\" takes no settings: its acting is none",
		       STR_FMT(conn->name));
}

bool acting_header(struct request *req, struct str *ret, struct err *err)
{
	struct setting_list given = {0};
	*ret = STR_NONE;
	if (header_of(req).p == NULL)
		return true;
	if (!settings_header(&req->arena, header_of(req), &given, err))
		return false;
	for (size_t i = 0; i < given.n; i++)
		if (!principal_may_set(req, &given.list[i], err))
			return false;
	*ret = settings_text(&req->arena, &given);
	return true;
}

/* What is told beside what the key fixes. */
static bool given_of(struct request *req, const struct route *route, struct str *ret, struct err *err)
{
	if (header_of(req).p != NULL && route->session != NULL)
		return err_set(err, ERR_INVALID_REQUEST,
			       "Ferro-Setting is for requests without a session: a session has settings of its own "
			       "(PATCH /v1/session)");
	if (!acting_header(req, ret, err))
		return false;
	if (route->session != NULL)
		*ret = str_z(route->session->settings);
	if (route->tx == NULL || route->session != NULL)
		return true;
	const struct str begun = tx_settings(route->tx);
	if (ret->p != NULL && !str_eq(*ret, begun))
		return err_set(err, ERR_INVALID_REQUEST,
			       "Ferro-Setting is not what the request gave that began the transaction");
	*ret = begun;
	return true;
}

static void take_role(struct request *req, struct route *route)
{
	struct strbuf b;
	route->role = req->principal->role;
	strbuf_init(&b, 0);
	strbuf_json_string(&b, route->role);
	strbuf_put(&b, route->settings);
	route->acts = arena_str(&req->arena, strbuf_str(&b));
	strbuf_done(&b);
}

bool acting_of(struct request *req, struct route *route, struct err *err)
{
	const struct principal *p = req->principal;
	struct setting_list all;
	struct str given;
	if (!acting_possible(req, route->conn, err))
		return false;
	if (route->conn->acting == ACTING_NONE) {
		/* a session may come from a server whose catalog said otherwise */
		const bool gives =
			header_of(req).p != NULL || (route->session != NULL && route->session->settings != NULL);
		return !gives || takes_settings(route->conn, err);
	}
	if (!given_of(req, route, &given, err))
		return false;
	if (req->given_before && route->session != NULL && !str_eq(req->given, given))
		return err_set(err, ERR_SERIALIZATION_FAILURE,
			       "the session's settings were changed while the request came in; send it again");
	route->settings = given;
	if (p != NULL && p->settings.n > 0) {
		if (!settings_of_text(&req->arena, given, &all, err))
			return false;
		for (size_t i = 0; i < p->settings.n; i++)
			if (!setting_put(&req->arena, &all, p->settings.list[i].name, p->settings.list[i].value, err))
				return false;
		route->settings = settings_text(&req->arena, &all);
	}
	route->acts = route->settings;
	if (route->conn->acting == ACTING_ROLE)
		take_role(req, route);
	return true;
}

bool acting_raw(struct request *req, const struct route *route, struct err *err)
{
	bool any;
	if (route->conn->acting != ACTING_ROLE || principal_has(req, SCOPE_ADMIN))
		return true;
	return user_rights_any(route->conn, &req->arena, req->deadline, &any, err) &&
	       (!any || err_set(err, ERR_FORBIDDEN,
				"the pool's user of connection \"%.*s\" has rights beside its roles "
				"(pool_user_has_rights): SQL there needs the scope \"admin\"",
				STR_FMT(route->conn->name)));
}

bool acting_session(struct request *req, const struct connection *conn, const json_t *given, struct str before,
		    struct str *ret, struct err *err)
{
	struct setting_list all, own = {0};
	struct err fault;
	*ret = before;
	if (!acting_possible(req, conn, err))
		return false;
	if (given == NULL)
		return true;
	if (!takes_settings(conn, &fault))
		return err_set_at(err, fault.code, "/settings", "%s", fault.detail);
	if (!settings_of_text(&req->arena, before, &all, err) ||
	    !settings_read(&req->arena, given, "/settings", &own, err) ||
	    !settings_read(&req->arena, given, "/settings", &all, err))
		return false;
	for (size_t i = 0; i < own.n; i++)
		if (!principal_may_set(req, &own.list[i], &fault))
			return err_set_at(err, fault.code, json_pointer_key(&req->arena, "/settings", own.list[i].name),
					  "%s", fault.detail);
	*ret = settings_text(&req->arena, &all);
	return true;
}

struct str acting_whose(struct request *req, const struct route *route)
{
	return route->acts.p == NULL
		       ? STR_NONE
		       : arena_printf(&req->arena, "%.*s %.*s", STR_FMT(principal_name(req)), STR_FMT(route->acts));
}

struct str acting_given(struct request *req)
{
	struct setting_list given = {0};
	struct err none;
	if (req->session_id.p != NULL)
		return session_peek_settings(request_app(req)->store->sessions, req->session_id, principal_name(req),
					     &req->arena);
	if (req->tx_id.p != NULL)
		return tx_peek_settings(request_app(req)->store->transactions, req->tx_id, principal_name(req),
					&req->arena);
	if (header_of(req).p == NULL || !settings_header(&req->arena, header_of(req), &given, &none))
		return STR_NONE;
	return settings_text(&req->arena, &given);
}
