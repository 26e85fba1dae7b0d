/*
 * What a request tells the database of who asks (`acting` of its connection): the settings that its key fixes, with
 * those of its session, of its transaction or, without either, of its header Ferro-Setting; and its key's role. Texts
 * are in the request's arena.
 */
#ifndef FERROD_HANDLERS_ACTING_H
#define FERROD_HANDLERS_ACTING_H

#include "service/http/request.h"
#include "store/store.h"

/* Of the request that goes that way: sets route->acts, settings and role. ERR_FORBIDDEN: its key's may not be told
 * there, or it gives what it may not; ERR_INVALID_REQUEST: the header is none, or where it has no place. */
bool acting_of(struct request *req, struct route *route, struct err *err) MUST_CHECK;

/* What a request tells that begins a transaction without a session; STR_NONE: nothing. Errors as of acting_of. */
bool acting_header(struct request *req, struct str *ret, struct err *err) MUST_CHECK;

/* The members of a body's `settings`, put over those of `before` (STR_NONE: none), for a session on that connection.
 * given NULL: none. ERR_INVALID_REQUEST, ERR_FORBIDDEN, with their pointers. */
bool acting_session(struct request *req, const struct connection *conn, const json_t *given, struct str before,
		    struct str *ret, struct err *err) MUST_CHECK;
/* May the caller's key be used on that connection? ERR_FORBIDDEN: what it fixes cannot be told there, or it has no role
 * where one is needed. */
bool acting_possible(const struct request *req, const struct connection *conn, struct err *err) MUST_CHECK;

/* May the request's own SQL run there? ERR_FORBIDDEN: where it acts by role, it could do without one what the pool's
 * user may, which is more than to take roles; only `admin` may. Parks. */
bool acting_raw(struct request *req, const struct route *route, struct err *err) MUST_CHECK;

/* To whom belongs what is answered on that way, as a text; STR_NONE: to whoever may read. */
struct str acting_whose(struct request *req, const struct route *route);

/* What a request gives, as far as can be known before it is routed: two that differ are not the same request.
 * STR_NONE: nothing. */
struct str acting_given(struct request *req);

#endif
