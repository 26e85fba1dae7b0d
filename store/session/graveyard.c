/* Tombstones: a map by id and a queue by age. */
#include "store/session/graveyard.h"

#include "service/base/limits.h"
#include "service/base/mem.h"

#include "service/base/banned.h"

void graveyard_init(struct graveyard *y)
{
	*y = (struct graveyard){0};
	map_init(&y->by_id);
}

static void forget_oldest(struct graveyard *y)
{
	struct grave *g = y->oldest;

	y->oldest = g->younger;
	if (y->oldest == NULL)
		y->youngest = NULL;
	(void)map_remove(&y->by_id, str_z(g->id));
	mem_free(g);
}

void graveyard_done(struct graveyard *y)
{
	while (y->oldest != NULL)
		forget_oldest(y);
	map_done(&y->by_id);
}

void graveyard_add(struct graveyard *y, struct grave *g)
{
	while (y->by_id.n >= LIMIT_TOMBSTONES)
		forget_oldest(y);
	g->younger = NULL;
	if (y->youngest != NULL)
		y->youngest->younger = g;
	else
		y->oldest = g;
	y->youngest = g;
	(void)map_put(&y->by_id, str_z(g->id), g);
}

struct grave *graveyard_find(const struct graveyard *y, struct str id)
{
	return map_get(&y->by_id, id);
}

void graveyard_forget(struct graveyard *y, int64_t before_ns)
{
	while (y->oldest != NULL && y->oldest->ended_ns < before_ns)
		forget_oldest(y);
}
