/* The one list of operations. Static; owned by nobody. */
#ifndef FERROD_HANDLERS_ROUTES_H
#define FERROD_HANDLERS_ROUTES_H

#include <stdio.h>

#include "service/http/router.h"

/* Every route, in the order of the contract; static. */
struct route_table routes_table(void);

/* One line an operation: method, path, operationId, scope. */
void routes_print(FILE *out);

#endif
