/* Identity maps in tests of what lies above them. */
#ifndef FERROD_TESTS_SUPPORT_MAPS_H
#define FERROD_TESTS_SUPPORT_MAPS_H

#include "store/session/identity_map.h"

/* A read that finds the row: mapped from now on, if it may be. */
static inline void map_read(struct imap *m, struct arena *a, const struct model *model, struct str key,
			    const struct value *row)
{
	struct imap_read r;

	imap_read_begin(&r, m, model, IMAP_LOOK);
	(void)imap_read_row(&r, a, key, row);
}

static inline bool is_mapped(struct imap *m, struct arena *a, const struct model *model, struct str key)
{
	struct imap_read r;

	return imap_get(m, a, model, key, &r) != NULL;
}

#endif
