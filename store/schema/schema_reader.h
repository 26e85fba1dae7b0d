/*
 * Readers of SchemaIR's objects, shared by schema_parse.c and schema_artifacts.c and by nobody else. What is at fault
 * is noted in the build (schema_build.h); texts and lists go into the schema's arena.
 */
#ifndef FERROD_STORE_SCHEMA_SCHEMA_READER_H
#define FERROD_STORE_SCHEMA_SCHEMA_READER_H

#include "store/schema/schema_build.h"

#define PARSE_MEMBERS 64 /* that a reader looks for in one object */

/* One object under the reader's eyes. */
struct parse {
	struct schema_build *b;
	struct draft *d;
	const json_t *obj;
	const char *pointer;
	const char *asked[PARSE_MEMBERS]; /* members that the reader has looked for and found: others are unknown */
	size_t n_asked;
	const char *missed[PARSE_MEMBERS]; /* and that are not there: one of them may have been meant */
	size_t n_missed;
};

/* Notes a fault of the member, which breaks the draft. */
void parse_fault(struct parse *p, const char *key, const char *what);
/* The member, null counting as absent; borrowed from the document. */
const json_t *parse_member(struct parse *p, const char *key);
/* False: the member is absent or (a fault) of another type; *ret is as it was. */
bool parse_bool(struct parse *p, const char *key, bool *ret);
bool parse_str(struct parse *p, const char *key, struct str *ret);
/* A name: not empty, at most `max` bytes (0: any). */
bool parse_name(struct parse *p, const char *key, bool required, size_t max, struct str *ret);
/* NULL: the member is absent or (a fault) no array, or has more than `max` elements. */
const json_t *parse_array(struct parse *p, const char *key, size_t max);
/* An array of strings; a fault when it is missing, empty or holds something else. */
const struct str *parse_strings(struct parse *p, const char *key, size_t *ret_n);
/* Goes to element i of an array member; false (and a fault) when it is no object. */
bool parse_enter(struct parse *p, const struct parse *model, const json_t *array, const char *key, size_t i);
/* Once all that can be there was asked for: the rest is a warning, or a fault in what is an addition of ours. */
void parse_leave(struct parse *p, bool ours);

#endif
