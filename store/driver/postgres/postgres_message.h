/*
 * The messages of PostgreSQL's protocol, version 3 (manual, "Message Formats"): those that postgres_wire.c sends and
 * reads by itself. Pure, and nothing that comes is believed.
 */
#ifndef FERROD_STORE_DRIVER_POSTGRES_MESSAGE_H
#define FERROD_STORE_DRIVER_POSTGRES_MESSAGE_H

#include <libpq-fe.h>

#include "service/base/strbuf.h"

/* Parameters as libpq wants them; arrays are kept from statement to statement. */
struct pg_params {
	size_t n, size;
	Oid *types;
	const char **values;
	int *lengths;
	int *formats;
	char *text; /* owned: NUL-terminated texts, one after the other */
	size_t text_size;
};

/* Before a message's body: its kind and its length, which counts itself. */
#define PG_HEAD_BYTES 5

/* One that has come. Borrowed. */
struct pg_message {
	char kind;
	struct str body;
};

enum pg_come { PG_COME_WHOLE, PG_COME_PART, PG_COME_BROKEN };

/* The first message of what has come, *ret when it is whole; its bytes in all are PG_HEAD_BYTES more than its body.
 * Broken: there is none of that length. */
enum pg_come pg_message_first(struct str come, struct pg_message *ret);

/* Is an error's or notice's body what such a one has: fields of a letter and a text, and then a NUL? */
bool pg_message_has_fields(struct str body);

/* An error or a notice, by libpq or off the wire. Borrowed; neither: an error without a field. */
struct pg_said {
	const PGresult *res;
	struct str fields; /* of one for which pg_message_has_fields holds */
};

static inline struct pg_said pg_said_of(const PGresult *res)
{
	return (struct pg_said){.res = res};
}

/* A field by its PG_DIAG_ letter; NULL: there is none. Borrowed. */
const char *pg_said_field(const struct pg_said *s, int field);
bool pg_said_state_is(const struct pg_said *s, const char *state);
/* Is it the server's last word on this connection? */
bool pg_said_is_fatal(const struct pg_said *s);

/* What runs a prepared statement once, by its name, with text and binary parameters, its rows as text: Bind and
 * Execute. No Describe: what its rows look like is known. False, and nothing is put: b would be longer than `most`. */
bool pg_put_run(struct strbuf *b, const char *name, const struct pg_params *p, size_t most) MUST_CHECK;
void pg_put_sync(struct strbuf *b);

static inline uint32_t pg_get_int(const char *p)
{
	const unsigned char *u = (const unsigned char *)p;

	return (uint32_t)u[0] << 24 | (uint32_t)u[1] << 16 | (uint32_t)u[2] << 8 | u[3];
}

static inline uint32_t pg_get_short(const char *p)
{
	const unsigned char *u = (const unsigned char *)p;

	return (uint32_t)u[0] << 8 | u[1];
}

#endif
