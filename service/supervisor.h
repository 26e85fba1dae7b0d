/*
 * What a supervisor (systemd, or anything that speaks its protocols) hands over and wants to hear: an inherited
 * listening socket (LISTEN_FDS, sd_listen_fds(3)) and notifications (NOTIFY_SOCKET, sd_notify(3)). No library is
 * needed for either. The socket that was inherited is owned by the caller.
 */
#ifndef FERROD_SERVICE_SUPERVISOR_H
#define FERROD_SERVICE_SUPERVISOR_H

#include <signal.h>
#include <stdbool.h>

#include "service/base/arena.h"
#include "service/base/err.h"
#include "service/base/macros.h"

/* The listening socket that was inherited, -1 when there is none; its address goes to *ret_listen ("127.0.0.1:8080", in
 * the arena; untouched when there is none). ERR_INVALID_REQUEST: more than one, or not a listening TCP socket. Clears
 * the variables. */
bool supervisor_listen_fd(struct arena *a, int *ret_fd, struct str *ret_listen, struct err *err) MUST_CHECK;

/* Tells the supervisor, if there is one: "READY=1", "STOPPING=1". Never fails: nobody else can be told. */
void supervisor_notify(const char *state);

/* Blocks SIGTERM, SIGINT and SIGHUP in this thread and those that it starts, and hands them out for sigwait; a broken
 * pipe or a file at its size limit is no signal. Before the first thread. */
void supervisor_block_signals(sigset_t *ret);

/* Has SIGTERM or SIGINT come, for sigwait to take? Any thread of those. */
bool supervisor_told_to_end(void);

#endif
