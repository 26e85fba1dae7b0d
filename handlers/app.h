/* What handlers know of the process: request->app points to one of these, owned by the composition root. */
#ifndef FERROD_HANDLERS_APP_H
#define FERROD_HANDLERS_APP_H

#include <stdbool.h>

#include "service/base/map.h"
#include "service/base/str.h"
#include "store/catalog/declared.h"
#include "store/node/node.h"
#include "store/state/told.h"
#include "store/store.h"

struct app {
	struct store *store;
	struct declared *declared;    /* the catalog in practice */
	struct told *told;            /* what callers tell, and where it is kept */
	struct node *node;            /* this server among those that share its state */
	const char *version;          /* of ferrod; static */
	const char *http_version;     /* of the HTTP library; NULL: not told */
	int64_t slow_statement_ns;    /* statements that take longer are logged; 0: none */
	const int *leaving;           /* atomic: not 0 once others go on with its sessions; NULL: never */
	const int *draining;          /* atomic: not 0 once the process is going down; NULL: never */
	const struct str *allow_urls; /* patterns that connect accepts; n 0: every URL (api section 11) */
	size_t n_allow_urls;
	struct str sqlite_dir; /* absolute directory of SQLite files, no link on the way to it; STR_NONE: anywhere */
	struct str sqlite_dir_given; /* the same as the operator wrote it; no trailing slash */
	size_t held_bytes;           /* of rows that a request holds before it answers; 0: no bound */
	bool csv_formula_guard;      /* CSV texts that look like formulas get an apostrophe */
	bool allow_url_files;        /* PostgreSQL URLs may name files of the server */
};

#endif
