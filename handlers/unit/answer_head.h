/*
 * What the head of an answer tells of the session, the catalog and the preferences that were honoured; context.h sets
 * it for what runs in a unit of work. Owns nothing: headers live in the request's arena.
 */
#ifndef FERROD_HANDLERS_ANSWER_HEAD_H
#define FERROD_HANDLERS_ANSWER_HEAD_H

#include "handlers/app.h"
#include "service/http/request.h"
#include "store/store.h"

/* What Ferro-Session-Info tells. */
struct session_left {
	int64_t idle_s, lifetime_s;
	size_t n_transactions, n_queued;
};

/* The app of a request. */
struct app *request_app(const struct request *req);

/* The value of Ferro-Session-Info, in the arena. */
struct str session_info(struct arena *a, const struct session_left *left);
/* Sets Ferro-Session-Info anew (the number of transactions may have changed); nothing once the answer streams. */
void session_info_header(struct response *res, struct session *s);
/* Sets or replaces a header; the value lives in the request's arena. */
void header_set(struct response *res, const char *name, struct str value);
/* Takes back what was set. */
void header_drop(struct response *res, const char *name);

/* Ferro-Catalog on the answer to a change of connections or models. */
void catalog_header(struct response *res);

/* The int64=string preference and its like. */
struct value_format context_format(struct response *res);
/* True when the client stated the preference, which is thereby honoured: Preference-Applied names it from now on. */
bool prefers(struct response *res, enum prefer_bit bit);

#endif
