/*
 * One exchange, a request and its response, as the library has it: its memory, its loop's and its server's, and how
 * its connection is suspended, resumed, watched and cut. The ground that head, body, stream and jam stand on; what
 * happens in which order is exchange.c's alone. Included by the files of service/http that turn the library's
 * callbacks into exchanges. A loop owns its exchanges.
 */
#ifndef FERROD_SERVICE_WIRE_H
#define FERROD_SERVICE_WIRE_H

#include <microhttpd.h>
#include <pthread.h>
#include <stdatomic.h>

#include "service/base/mutex.h"
#include "service/http/compression.h"
#include "service/http/listener.h"
#include "service/http/server_options.h"

/* Who gives way to whom on a loop; kept by give_way.c. */
struct give_way {
	struct {
		atomic_int_least64_t period;
		atomic_int n; /* short requests that began in it and run */
	} begun[2];
	atomic_int_least64_t ended_ns; /* monotonic: when the last short one was done */
	int64_t next_ns;               /* the next of those that rest may go on then */
	struct rest *head, *tail;      /* who rests, in the order of their turns */
};

struct wire_loop {
	struct server *server;
	struct loop *loop;
	struct MHD_Daemon *daemon;
	struct listener listener;
	pthread_t thread;
	bool started;
	struct exchange *parked_head, *parked_tail; /* parked and not watched yet, oldest first */
	struct exchange *spare; /* done with, through parked_next; their arenas and buffers keep a little memory */
	size_t n_spare;
	atomic_int n_running;     /* handlers not done yet */
	struct exchange *chunked; /* whose chunks come in, through chunked_next */
	bool progress;            /* a callback has been since the last look (jam.c) */
	unsigned n_for_nothing;   /* runs in haste without one */
	int64_t next_look_ns;     /* not sooner */
	struct exchange *probed;  /* on trial; NULL: none, or gone meanwhile */
	size_t n_lingering;       /* sockets that outlive their connection (linger.c) */
	bool stopping;            /* its fibers have ended */
	struct give_way ways;
};

struct server {
	struct server_options options;
	struct wire_loop *loops;
	unsigned n_loops;
	unsigned port;
	atomic_bool draining;
	bool loopback;
	bool text_shows; /* the library is the one that head_shape.c can see through */
	bool jams;       /* the library is one that jam.h is for */
};

enum exchange_state {
	EXCHANGE_READING, /* head and body come in */
	EXCHANGE_RUNNING, /* the handler's fiber */
	EXCHANGE_DONE     /* the response is complete (or its stream has ended) */
};

/* An answer in chunks: the fiber fills res->body, libmicrohttpd takes it from `chunk`. Loop thread only. */
struct response_stream {
	struct strbuf chunk;   /* being sent */
	size_t sent;           /* bytes of it taken */
	size_t bytes;          /* handed over in all */
	bool started;          /* the head may go out */
	bool starved;          /* suspended because the chunk was empty */
	bool ended, failed;    /* no more chunks; failed: the body is left unterminated */
	size_t dropped;        /* of HEAD: bytes that nobody reads, which count for its Content-Length */
	struct event *drained; /* of the fiber that waits for the chunk to be taken */
	enum coding coding;    /* the packer's */
	struct packer *packer; /* owned; NULL: chunks go as they are */
	struct strbuf packed;  /* becomes the next chunk */
};

/* A body that is read while it arrives: the callback fills req->body up to LIMIT_BODY_WINDOW, the fiber takes it as its
 * next piece. Loop thread only. */
struct request_stream {
	struct strbuf piece;       /* what the fiber reads */
	bool ended;                /* all has come */
	struct event *more;        /* of the fiber that waits for bytes */
	int64_t patience_ns;       /* the sender may be waited for so long */
	enum coding coding;        /* what the body came in */
	struct unpacker *unpacker; /* owned; NULL: not begun */
	struct str packed;         /* of the piece: not unpacked yet */
	struct strbuf plain;       /* what the fiber reads instead */
	size_t n_plain;            /* bytes unpacked in all */
};

/* One request and its response. Lives until libmicrohttpd has let go of it and its fiber has ended. */
struct exchange {
	struct request req;
	struct response res;
	struct wire_loop *loop;
	struct MHD_Connection *conn; /* NULL before the first callback and once libmicrohttpd has let go */
	struct fiber *fiber;         /* parked handler */
	enum exchange_state state;
	bool seen; /* the first callback has been */
	bool gone; /* the client is gone: nobody takes anything */
	bool suspended, refused, queued, expects_continue, has_body;
	bool unclear;         /* nobody can tell where its body ends: the connection ends with the answer */
	bool waits_for_watch; /* in loop->parked: not old enough to watch its client */
	bool reads_chunks;    /* in loop->chunked */
	struct exchange *chunked_prev, *chunked_next;
	struct str authority;            /* of a target in absolute form; STR_NONE: it has none */
	uintptr_t target_at, target_end; /* where the library has it */
	size_t body_limit, body_seen;
	int64_t content_length; /* -1: not stated */
	int64_t done_ns;        /* monotonic: the answer was complete */
	int64_t short_period;   /* give_way.c: it is counted there as a short one; 0: it is not */
	int64_t cpu_ns;         /* of its fiber, when it gave way last */
	size_t head_bytes;      /* of a connection's memory, taken by the request's head */
	struct request_stream upload;
	struct response_stream stream;
	struct loop_watch watch; /* the client's hang-up while the fiber is parked */
	int64_t parked_ns;
	struct exchange *parked_prev, *parked_next;
	struct err err; /* refused: answered once the body has been read past. Last: not cleared between requests */
};

/*
 * A connection's memory in libmicrohttpd, which is cleared after every request and held while the client idles: the
 * request's line and headers, a record for each header, and the head of the answer.
 */
#define HEADER_RECORD_BYTES 64
#define HEADER_RECORDS_BYTES (48 * HEADER_RECORD_BYTES) /* beside a header block of the default size */
#define HEAD_RESERVE_BYTES 768 /* of the answer's head: what every answer has, a problem's headers too */

static inline size_t wire_bytes(size_t header_bytes)
{
	const size_t records = header_bytes / LIMIT_HEADER_BYTES * HEADER_RECORDS_BYTES;
	return header_bytes + (records > HEADER_RECORDS_BYTES ? records : HEADER_RECORDS_BYTES) + HEAD_RESERVE_BYTES;
}

/* A fresh exchange of the loop's, perhaps one that was used before; wire_free. */
struct exchange *wire_new(struct wire_loop *l);
/* The library has let go of it and its fiber has ended. */
void wire_free(struct exchange *x);
/* Frees the spare exchanges. */
void wire_free_spare(struct wire_loop *l);

/* Does the server of the exchange drain? */
static inline bool wire_draining(const struct exchange *x)
{
	return atomic_load(&x->loop->server->draining);
}

/* The connection's socket, -1: it has none. */
int wire_socket(const struct exchange *x);
void wire_suspend(struct exchange *x);
void wire_resume(struct exchange *x);
/* Between the two the client's hang-up cancels the fiber. The first: not twice; the second: at any time. Suspending and
 * resuming do it, too. */
void wire_park(struct exchange *x);
void wire_unpark(struct exchange *x);
/* Watches the clients of exchanges that have been parked for long enough; returns when the next one is due. */
int64_t wire_watch_parked(struct wire_loop *l, int64_t now);

/* Ends the connection: the client is gone, or as good as. */
void wire_cut(struct exchange *x);
/* The same for one that the library has suspended and would not look at again. *ret_entered: its socket is in the
 * library's epoll set, of which the library knows nothing: it is to come out as the connection closes (linger_closed),
 * for whoever has a duplicate of it keeps it in there, with an address that nobody has any more. */
void wire_end(struct exchange *x, bool *ret_entered);

#endif
