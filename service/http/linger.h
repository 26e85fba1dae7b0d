/*
 * A connection's end that its client gets to see: who still sends when its answer comes and the socket is closed is
 * reset by the kernel, and may lose the answer. A duplicate of the socket, owned by a fiber of the loop, reads and
 * drops what comes for a while.
 */
#ifndef FERROD_SERVICE_LINGER_H
#define FERROD_SERVICE_LINGER_H

#include "service/http/wire.h"

/* The socket stays open for its client to send on, bounded in time, bytes and number: beyond, nothing happens. */
void linger_on(struct wire_loop *l, int fd);
/* Reads and drops what comes, with the same bounds. Parks. */
void linger_drop_rest(int fd);

/* What the library tells of a connection. context: of it, owned from opened to closed. The last one lingers when the
 * library ended it by itself (with an answer of its own, about a head that nobody else has seen), or when the client
 * has sent what nobody has read. */
void linger_opened(void **context);
void linger_answered(struct MHD_Connection *conn, bool by_us);
/* What others keep as long as the connection: freed by `drop`, after its last use. NULL: it has no context. */
struct linger_kept {
	void *p;
	void (*drop)(void *p);
};
struct linger_kept *linger_kept(struct MHD_Connection *conn);
/* Its socket was entered into the library's epoll set by wire_end. */
void linger_entered(struct MHD_Connection *conn);
void linger_closed(struct wire_loop *l, struct MHD_Connection *conn, void **context);

#endif
