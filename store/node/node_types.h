/* What is said to and by a node; node.h has what it does. Spans are borrowed, those of answers in the caller's arena.
 */
#ifndef FERROD_STORE_NODE_NODE_TYPES_H
#define FERROD_STORE_NODE_NODE_TYPES_H

#include "store/session/session_share.h"
#include "store/state/state_nodes.h"
#include "store/store.h"

struct node;

struct node_options {
	struct str name;    /* "": made of the host's name and the state */
	struct str url;     /* where the others reach it; "": made by node_start */
	struct str version; /* of ferrod */
	void *arg;
	/* Starts a fiber that ends with the process. */
	void (*spawn)(void *arg, void (*fn)(void *), void *fn_arg);
	/* Asks the server at that URL for its instance, within the time. false: no answer. Parks. */
	bool (*ask)(void *arg, struct str url, int64_t ns, struct arena *a, struct str *ret_instance);
	/* Something to log: "node_silent", "node_back", "node_name_lost", "session_adopted". */
	void (*report)(void *arg, const char *event, struct str detail);
};

/* What a request for a session that is not here came to. */
struct node_found {
	struct str resumed; /* the node that it was adopted from; STR_NONE: it was not adopted by this request */
	struct str owner;   /* with ERR_WRONG_NODE: who has it */
	bool here;          /* it is open here, or was a moment ago: a hand-over may be faster than who enters it */
	bool closed;        /* with ERR_SESSION_EXPIRED: by the client itself */
};

#endif
