/* Failed statements by SQLSTATE class (SQL:2016, PostgreSQL appendix A): a closed list, so that metrics stay bounded.
 */
#include "store/connection/registry.h"

#include "service/base/banned.h"

static const char *const classes[CONNECTION_ERROR_CLASSES] = {"08", "0A", "22", "23", "25",   "26",
							      "28", "3D", "3F", "40", "42",   "53",
							      "54", "55", "57", "XX", "none", "other"};

void connection_count_error(struct connection *c, const char *sqlstate)
{
	size_t i = CONNECTION_ERROR_CLASSES - 1;
	if (sqlstate[0] == '\0')
		i = CONNECTION_ERROR_CLASSES - 2;
	for (size_t k = 0; k < CONNECTION_ERROR_CLASSES - 2; k++)
		if (sqlstate[0] == classes[k][0] && sqlstate[1] == classes[k][1])
			i = k;
	__atomic_fetch_add(&c->n_errors[i], 1, __ATOMIC_RELAXED);
}

const char *connection_error_class(size_t i)
{
	return classes[i];
}
