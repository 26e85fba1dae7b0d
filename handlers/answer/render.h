/*
 * Shapes that several answers share, so that two handlers cannot disagree. Writers append to the answer's body. Owns
 * nothing.
 */
#ifndef FERROD_HANDLERS_RENDER_H
#define FERROD_HANDLERS_RENDER_H

#include "handlers/unit/context.h"
#include "store/query/query.h"

/* "name": with a comma before it unless the object has just begun; for literal names. */
void out_name(struct strbuf *b, const char *name);
void out_str(struct strbuf *b, const char *name, struct str value); /* absent span: null */
void out_int(struct strbuf *b, const char *name, int64_t value);
void out_bool(struct strbuf *b, const char *name, bool value);
/* Seconds: an integer when it is one. */
void out_seconds(struct strbuf *b, const char *name, double value);
/* RFC 3339 instant, null when 0. */
void out_instant(struct strbuf *b, const char *name, int64_t real_us);

/* Percent-encodes everything but unreserved characters (RFC 3986 §2.3). */
void out_segment(struct strbuf *b, struct str s);

/* The key of a full row as one path segment: parts in canonical column order, each encoded, joined by ','. */
void out_key(struct strbuf *b, const struct model *m, const struct value *row);
/* Location of a record, in the arena; STR_NONE: its key is an empty text, which no path can say. */
struct str record_location(struct arena *a, const struct model *m, const struct value *row);

/* One full row as a JSON object. */
void out_record(struct strbuf *b, const struct model *m, const struct value *row, const struct value_format *fmt);
/* One row of a statement as a JSON object. */
void out_shaped(struct strbuf *b, const struct result_shape *shape, const struct value *row,
		const struct value_format *fmt);
/* Strong entity tag of a full row: the digest of its JSON form, quotes included; in the arena. */
struct str record_etag(struct arena *a, const struct model *m, const struct value *row);
/* The same of text that is that form already. */
struct str etag_of(struct arena *a, struct str plain);
/* out_record, and the record's tag, made in one go. */
struct str out_record_etag(struct strbuf *b, struct arena *a, const struct model *m, const struct value *row,
			   const struct value_format *fmt);
/* Does the tag stand in the list of a header If-Match (strong) or If-None-Match (weakly)? "*" matches everything. */
bool etag_listed(struct str header, struct str etag, bool weakly);

/* The connection object of section 4; urls false: the caller may not see the URL. */
void out_connection(struct strbuf *b, struct connection *conn, struct str default_name, bool urls);
/* identity_map of a session view. */
void out_imap(struct strbuf *b, const struct imap_stats *s);
/* The object of GET /v1/transactions/{id}. */
void out_transaction(struct strbuf *b, const struct tx_view *v);

#endif
