/* Shared by declared_life.c (life, keepers, reset), declared_models.c (the set of models) and reload.c only. Struct app
 * owns what it declares. */
#ifndef FERROD_STORE_CATALOG_DECLARED_IMPL_H
#define FERROD_STORE_CATALOG_DECLARED_IMPL_H

#include "store/catalog/bring_up.h"
#include "store/catalog/declared.h"

struct item_list {
	struct item **items; /* owned references; array of mem_array */
	size_t n;
};

struct declared {
	struct store *store;
	struct catalog_source source; /* path owned */
	struct declared_hooks hooks;
	struct turn turn;        /* of reload, reset, publishing; guards what follows */
	struct catalog *catalog; /* owned reference */
	struct item_list list;
	bool started;
	int n_starting; /* atomic */
};

/* The declared set under the catalog with what introspection has found for the items, unpublished. Explicit models win
 * over found ones of their name or table, earlier items over later. The turn is held. ERR_INVALID_SCHEMA. */
bool declared_models(const struct catalog *c, const struct item_list *list, struct schema_declared **ret,
		     struct err *err) MUST_CHECK;
/* Publishes the models as they are now. The turn is held. */
bool declared_publish_models(struct declared *d, struct err *err) MUST_CHECK;

void item_list_done(struct item_list *list);
/* Brings the item up on a fiber of its own, for as long as it is current. */
void declared_keep(struct declared *d, struct item *it);
/* Marks every item as replaced. */
void item_list_gone(const struct item_list *list);

#endif
