/* The word that was meant: for errors about words that are not known. Pure. */
#ifndef FERROD_SERVICE_NEAREST_H
#define FERROD_SERVICE_NEAREST_H

#include <stddef.h>

#include "service/base/str.h"

/* What is nearest to the word so far. Start with {word}. */
struct nearest {
	struct str word;
	const char *found; /* static, or borrowed from the candidate; NULL: none is near */
	size_t distance;
};

/* Considers a candidate: one that is a few letters off (two, or a third of a short word) is near. '-' and '_' are one
 * letter. */
void nearest_consider(struct nearest *n, const char *candidate);

#endif
