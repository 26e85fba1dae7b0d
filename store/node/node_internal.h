/* What node*.c share. Nobody else includes this. */
#ifndef FERROD_STORE_NODE_NODE_INTERNAL_H
#define FERROD_STORE_NODE_NODE_INTERNAL_H

#include "service/base/mutex.h"
#include "store/node/node_types.h"

#define NODE_ASK_NS (300 * CLOCK_NS_PER_MS)

/* A session that has ended and is still open in the state. */
struct node_ended {
	struct node_ended *next;
	char hash[SESSION_HASH_BYTES];
	int64_t at_ns;
	int64_t why;
};

struct node {
	struct store *store;
	struct state *state; /* borrowed; NULL: alone */
	struct node_options hooks;
	struct arena arena;   /* of what follows */
	struct state_node me; /* its counts are filled for each beat */
	char instance[17];
	int64_t beat_ns;  /* atomic; CLOCK_BOOTTIME: sending of the last acknowledged beat; 0: none counts */
	int draining;     /* atomic */
	bool silent;      /* of the beating fiber: it has been said */
	struct turn turn; /* of adoptions while sessions are handed over */
	struct mutex lock;
	struct node_ended *ended; /* under the lock */
};

/* Valid names; and the one that is made of host and state, in the arena. */
bool node_name_valid(struct str name);
struct str node_default_name(struct arena *a, const struct state *s);
/* Fills in boot and pid. */
void node_describe_process(struct arena *a, struct state_node *me);
/* Is its process gone from this very machine? */
bool node_process_dead(const struct state_node *rival);
/* Claims the name, waiting for a silent rival. Blocks. */
bool node_claim_name(struct node *n, struct err *err) MUST_CHECK;

/* CLOCK_BOOTTIME: goes on while the machine sleeps. */
int64_t node_clock_ns(void);
bool node_fresh(const struct node *n);

#endif
