/* What is kept, as a catalog: told becomes declared. Owns nothing. */
#ifndef FERROD_STORE_STATE_EXPORT_H
#define FERROD_STORE_STATE_EXPORT_H

#include <stdio.h>

#include "store/state/state.h"

/* Prints a catalog document; each secret of a URL is a ${env:...} placeholder that is named after its connection. */
bool state_export(struct state *s, FILE *out, struct err *err) MUST_CHECK;

/* The URL of the state that nobody has named: beside the default SQLite database (its URL), else in the working
 * directory. In the arena. */
struct str state_default_url(struct arena *a, struct str default_url);

#endif
