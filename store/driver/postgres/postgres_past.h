/*
 * Flights of prepared statements past libpq: postgres_batch.c's, on a connection whose bytes nobody else has to see
 * (no TLS, no GSS). libpq is idle before and after, and knows of nothing: it sends at each sync point, asks for each
 * answer's columns anew, and copies each cell, which together are what a quick statement costs most. The connection
 * owns what was put together and what has come.
 */
#ifndef FERROD_STORE_DRIVER_POSTGRES_PAST_H
#define FERROD_STORE_DRIVER_POSTGRES_PAST_H

#include "store/driver/driver.h"
#include "store/driver/postgres/postgres_message.h"

struct pg_conn;
enum pg_io { PG_IO_OK, PG_IO_LOST, PG_IO_TIMEOUT, PG_IO_CANCELLED };

enum pg_cell { PG_CELL_TEXT, PG_CELL_BOOL, PG_CELL_INT, PG_CELL_DOUBLE, PG_CELL_BYTES, PG_CELL_JSON };

/* What the rows of a prepared statement look like, which the server holds it to ("cached plan must not change result
 * type"). Shared by the statement and its answers. */
struct pg_shape {
	int refs; /* atomic */
	bool has_rows;
	size_t n;
	enum pg_cell *cells; /* inside */
	struct cursor_column columns[];
};

/* Of a sound result, as libpq had it; a reference is the caller's. NULL: no memory, or a name that is not UTF-8. */
struct pg_shape *pg_shape_of(const PGresult *res);
struct pg_shape *pg_shape_ref(struct pg_shape *s);
/* NULL is fine. Any thread. */
void pg_shape_unref(struct pg_shape *s);

/* Of a connection. */
struct pg_wire {
	bool plain;      /* it may be used */
	bool heard;      /* libpq took in what came unasked, the last of which may be a part of a message */
	bool running;    /* a flight was sent that has not been read to its end, on a connection that is still there */
	bool changed;    /* a setting is not what libpq was told last */
	bool bound;      /* the statement whose answer is being read has begun */
	bool at_end;     /* it is over, which has not been told */
	bool aborted;    /* what is left up to the sync point was passed over */
	bool has_failed; /* the flight could not be sent as a whole: what the server says yet may be its last words */
	struct strbuf out;
	size_t sent; /* of out */
	char *in;    /* owned; what has come, from `at` to `end` */
	size_t in_size, at, end;
	size_t run;         /* the bytes before `at` that are rows */
	struct strbuf rows; /* and those before them, of the same answer */
	size_t n_rows;
};

/* What comes in a flight, by libpq or past it. */
struct pg_reply {
	bool end; /* of a statement's results, and nothing else */
	ExecStatusType status;
	PGresult *res;       /* owned; NULL: past libpq */
	struct pg_said said; /* of a failure; borrowed from res, or until the next read */
	const char *tag;     /* past libpq, like the rows, which are the connection's */
};

/* May a flight go past libpq now? It is idle, has nothing left to send, and, as far as can be known, holds nothing back
 * of what has come. */
bool pg_wire_may(struct pg_conn *c);
/* Sends w->out, all of a flight; what does not go now, or not at all, shows when its answer is read. */
void pg_wire_send(struct pg_conn *c);
/* The next answer of the flight, in the order and the words of PQgetResult: of a statement with that shape; NULL: the
 * sync point, or what comes before it. Parks. */
enum pg_io pg_wire_next(struct pg_conn *c, const struct pg_shape *shape, int64_t deadline_ns,
			struct pg_reply *ret) MUST_CHECK;
/* Drops what comes up to the sync point. *ret_cancelled: a statement was, NULL is fine. Parks. */
enum pg_io pg_wire_drain(struct pg_conn *c, int64_t deadline_ns, bool *ret_cancelled) MUST_CHECK;
/* All has been read: libpq may go on. False: there is more than that, or libpq would not know a setting. */
bool pg_wire_over(struct pg_conn *c) MUST_CHECK;
void pg_wire_done(struct pg_wire *w);

#endif
