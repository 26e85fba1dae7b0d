/*
 * The listening socket of one loop: accepts connections and hands them on, as many as there may be at a
 * time; more wait in the kernel's queue. When the process has no descriptor left it gives up one that it kept for that
 * and answers 503, rather than leave clients waiting. Owned by a loop of the server; loop thread only, but for init.
 */
#ifndef FERROD_SERVICE_LISTENER_H
#define FERROD_SERVICE_LISTENER_H

#include <sys/socket.h>

#include "service/http/loop.h"

struct listener {
	struct loop *loop;
	/* Takes an accepted connection. */
	void (*take)(void *arg, int fd, const struct sockaddr *sa, socklen_t len);
	void *arg;
	bool plain;              /* without TLS: a refusal can be written */
	struct loop_watch watch; /* fd: the listening socket; -1: none (any more) */
	int reserve;             /* -1: given up for a refusal, or never had */
	unsigned n_open, n_max;  /* connections */
	bool full;               /* not watched until one ends */
};

/* Takes the listening socket; loop, take, arg and plain are set by the owner before listener_start. */
void listener_init(struct listener *n, int fd, unsigned n_max);
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
