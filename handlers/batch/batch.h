/* Batch: many operations in one round trip (api section 8 and its fine print). Lives in the request's arena. */
#ifndef FERROD_HANDLERS_BATCH_H
#define FERROD_HANDLERS_BATCH_H

#include "handlers/steps.h"

enum step_state { STEP_PENDING, STEP_OK, STEP_FAILED, STEP_SKIPPED };
enum condition { IF_ALWAYS, IF_OK, IF_FAILED, IF_EMPTY, IF_NONEMPTY };

struct batch_step {
	json_t *doc;
	struct str as;
	enum step_op op;
	enum scope scope; /* that it needs */
	enum condition condition;
	size_t on; /* the step that the condition is about */
	bool has_refs;
	size_t after; /* those before this number it refers to, or its condition does */
	bool needed;  /* a later step looks at its answer */
	enum step_state state;
	struct step_plan *plan; /* made ahead of its turn; NULL: none */
	json_t *body;           /* parsed answer of a needed step, in the arena */
};

struct batch {
	struct context c;
	struct request *req;
	struct batch_step *steps;
	size_t n;
	bool atomic, writes, raw;
	uint64_t kind; /* of those that do the same with other values; not 0 */
	struct str using;
	struct strbuf *out; /* the results */
};

/* ---- batch_refs.c ---- */

/* Calls fn for the text of every {"$ref": text} in the step that stands for a whole value (STR_NONE: of one that is no
 * string); false as soon as fn says so. */
bool batch_each_ref(const json_t *step, bool (*fn)(void *arg, struct str ref), void *arg);
/* A copy of the step in which they are replaced by what `find` gives (borrowed; NULL: not there). New reference; NULL
 * with ERR_INVALID_VALUE at the reference's place, or ERR_INTERNAL_ERROR when out of memory. */
json_t *batch_resolve(struct arena *a, const json_t *step, json_t *(*find)(void *arg, struct str ref), void *arg,
		      struct err *err);
/* What a path ("rows.0.id") leads to in v; NULL: nothing. */
json_t *batch_walk(json_t *v, struct str path);

/* ---- batch_order.c ---- */

/* The step of that name before number `before`; `before` when there is none. */
size_t batch_find_step(const struct batch *b, size_t before, struct str name);
/* Does its condition hold? Of a step whose condition is about one that has run. */
bool batch_wanted(const struct batch *b, const struct batch_step *s);
/* The step's object with its references resolved, as long as the request. NULL: one leads to nothing. */
json_t *batch_doc(struct batch *b, size_t i, struct err *err);
/* The one statement that the step will run, where one is sure to be all; else NULL. Its plan is made for that. */
const struct stmt *batch_stmt(struct batch *b, size_t i);
/* Is there room for all that the step, and n in all like it, may answer, and nothing that refuses it afterwards? */
bool batch_answers_briefly(const struct batch *b, const struct batch_step *s, size_t n);
/* Is step i the last, and nothing refuses its answer: may COMMIT go with its statement? */
bool batch_ends(struct batch *b, size_t i);
/* Step i runs next: it and what follows of one statement each, and needs no answer of those in between, may leave for
 * the database together. */
void batch_look_ahead(struct batch *b, size_t i);

#endif
