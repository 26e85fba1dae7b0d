/* Assertions on calls that report failure in the test file's `err`, which they show. */
#ifndef FERROD_TESTS_SUPPORT_ASSERT_ERR_H
#define FERROD_TESTS_SUPPORT_ASSERT_ERR_H

#include <string.h>

#include "service/base/err.h"

/* The call succeeds. */
#define assert_ok(expression) \
	do { \
		if (!(expression)) \
			fail_msg("%s: %s %s %s", #expression, err_code_name(err.code), err.sqlstate, err.detail); \
	} while (0)

/* The call fails with this code. */
#define assert_err(expression, want) \
	do { \
		memset(&err, 0, sizeof(err)); \
		if (expression) \
			fail_msg("%s succeeded", #expression); \
		if (err.code != (want)) \
			fail_msg("%s: %s %s %s", #expression, err_code_name(err.code), err.sqlstate, err.detail); \
	} while (0)

#endif
