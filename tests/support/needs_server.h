/* For tests of a database server: skipped where none is named. */
#ifndef FERROD_TESTS_SUPPORT_NEEDS_SERVER_H
#define FERROD_TESTS_SUPPORT_NEEDS_SERVER_H

/* First in a test: skips it if the group has opened no database, which is `g.db`. */
#define NEEDS_SERVER() \
	do { \
		(void)state; \
		if (g.db == NULL) \
			skip(); \
	} while (0)

#endif
