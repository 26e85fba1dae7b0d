/*
 * What lanes, their queues and readers share: how many may lead, and the figures that they keep. Each is owned by what
 * it counts for.
 */
#ifndef FERROD_STORE_LANE_STATS_H
#define FERROD_STORE_LANE_STATS_H

#include <stdint.h>

/* Round trips under way at a time, per loop and pool; more of writes when those wait for something. */
#define LANE_LEADERS 2

struct lane_stats {
	uint64_t statements, round_trips, again;
};

#endif
