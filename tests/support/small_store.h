/* Options of a store that a test soon fills. */
#ifndef FERROD_TESTS_SUPPORT_SMALL_STORE_H
#define FERROD_TESTS_SUPPORT_SMALL_STORE_H

#include "store/store.h"

/* A hundred sessions, transactions of five minutes, one second of patience with locks. */
extern const struct store_options small_store;

#endif
