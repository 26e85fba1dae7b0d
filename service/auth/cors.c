/* No Access-Control-Allow-Credentials: API keys travel in Authorization, which the page itself sets; cookies are none
 * of ours. */
#include "service/auth/cors.h"

#include "service/base/banned.h"

static const char allow_headers[] = "Accept, Authorization, Cache-Control, Content-Encoding, Content-Type, "
				    "Ferro-Catalog, Ferro-Node, Ferro-Session, Ferro-Setting, "
				    "Ferro-Transaction, Ferro-Transaction-End, Idempotency-Key, If-Match, "
				    "If-None-Match, Prefer, traceparent, X-Request-Id";
static const char expose_headers[] =
	"Accept-Encoding, Allow, ETag, Ferro-Affected, Ferro-Answer, Ferro-Catalog, Ferro-Identity, Ferro-Node, "
	"Ferro-Session, "
	"Ferro-Session-Info, Ferro-Session-Resumed, Ferro-Transaction, Ferro-Transaction-State, Idempotency-Replayed, "
	"Location, Preference-Applied, Retry-After, Server-Timing, WWW-Authenticate, X-Request-Id";

bool cors_listed(struct str origins, struct str origin, bool any)
{
	struct str word;
	while (origin.len > 0 && origins.len > 0 && str_split(&origins, ',', &word)) {
		word = str_trim(word);
		if (str_eq(word, origin) || (any && str_eq_z(word, "*")))
			return true;
	}
	return false;
}

/* As browsers write one: scheme and host in lower case, a port that is not the scheme's own, nothing behind. */
static bool origin_formed(struct str o)
{
	const char *const colon = memmem(o.p, o.len, "://", 3);
	if (colon == NULL || colon == o.p || colon + 3 == o.p + o.len)
		return false;
	const size_t host = (size_t)(colon + 3 - o.p);
	for (size_t i = 0; i < o.len; i++) {
		const char c = o.p[i];
		if (c <= ' ' || c > '~' || (c >= 'A' && c <= 'Z') || (i >= host && strchr("/?#*@\\\"<>", c) != NULL))
			return false;
	}
	return !(str_starts(o, STR("http://")) && str_ends(o, STR(":80"))) &&
	       !(str_starts(o, STR("https://")) && str_ends(o, STR(":443")));
}

bool cors_check(struct str origins, struct err *err)
{
	struct str word;
	while (origins.len > 0 && str_split(&origins, ',', &word)) {
		word = str_trim(word);
		if (str_eq_z(word, "null"))
			return err_set(
				err, ERR_INVALID_REQUEST,
				"\"cors_origins\": \"null\" is what browsers send of files and sandboxed frames, "
				"anybody's: it is never admitted");
		if (!str_eq_z(word, "*") && !origin_formed(word))
			return err_set(err, ERR_INVALID_REQUEST,
				       "\"cors_origins\": \"%.*s\" is no origin as browsers send it: "
				       "https://app.example or http://localhost:5173, in lower case, without a path",
				       STR_FMT(word));
	}
	return true;
}

void cors_headers(struct str origins, const struct request *req, struct response *res)
{
	struct str origin = request_header(req, "Origin");
	response_header(res, "Vary", STR("Origin"));
	if (!cors_listed(origins, origin, true))
		return;
	response_header(res, "Access-Control-Allow-Origin", origin);
	response_header(res, "Access-Control-Expose-Headers", str_z(expose_headers));
}

void cors_preflight(struct str origins, const struct request *req, struct response *res, struct str allow)
{
	if (request_header(req, "Access-Control-Request-Method").p == NULL ||
	    !cors_listed(origins, request_header(req, "Origin"), true))
		return;
	response_header(res, "Access-Control-Allow-Methods", allow);
	response_header(res, "Access-Control-Allow-Headers", str_z(allow_headers));
	response_header(res, "Access-Control-Max-Age", STR("600"));
}
