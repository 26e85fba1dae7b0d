/* The planner's part for changes of type that may cost data: what the data says about them. Pure. */
#ifndef FERROD_STORE_MIGRATE_PLAN_LOSS_H
#define FERROD_STORE_MIGRATE_PLAN_LOSS_H

#include "store/migrate/plan_build.h"

enum loss {
	LOSS_NONE,    /* no row would lose */
	LOSS_UNKNOWN, /* the data was not looked at; a probe is asked for */
	LOSS_ALLOWED, /* some would, and the run is destructive */
	LOSS_REFUSED  /* some would: a warning says so, and the column keeps its type */
};

/* What it would cost to give the column the model's type, whose change may cost something. */
enum loss plan_loss(struct planner *pl, const struct table_pair *tp, const struct column *c,
		    const struct live_column *live);

#endif
