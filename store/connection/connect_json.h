/* What a connection is asked for in JSON: by connect, and by the catalog. Borrows the document. */
#ifndef FERROD_STORE_CONNECTION_CONNECT_JSON_H
#define FERROD_STORE_CONNECTION_CONNECT_JSON_H

#include "service/base/json.h"
#include "store/connection/registry.h"

/* Reads url (required), name, default, identity_map and pool from the reader's object, over the contract's defaults.
 * The spans are borrowed from the document. Faults are the reader's. */
void connect_json_read(struct json_reader *r, struct connect_options *ret);

#endif
