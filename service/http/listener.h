/*
 * The listening socket of one loop: accepts connections and hands them to the library, as many as there may be at a
 * time; more wait in the kernel's queue. When the process has no descriptor left it gives up one that it kept for that
 * and answers 503, rather than leave clients waiting. Owned by its server_loop; loop thread only, but for init.
 */
#ifndef FERROD_SERVICE_LISTENER_H
#define FERROD_SERVICE_LISTENER_H

#include "service/http/loop.h"

struct server_loop;

struct listener {
	struct server_loop *loop;
	struct loop_watch watch; /* fd: the listening socket; -1: none (any more) */
	int reserve;             /* -1: given up for a refusal, or never had */
	unsigned n_open, n_max;  /* connections */
	bool full;               /* not watched until one ends */
};

/* Takes the listening socket. */
void listener_init(struct listener *n, struct server_loop *l, int fd, unsigned n_max);
/* Begins to accept. */
void listener_start(struct listener *n);
/* Closes the socket; those who wait in its queue are refused by the kernel, unless another process has it, too. */
void listener_stop(struct listener *n);
/* After the loop: the rest of what it owns. */
void listener_done(struct listener *n);
/* The library has taken a connection, and has closed one. */
void listener_opened(struct listener *n);
void listener_closed(struct listener *n);

#endif
