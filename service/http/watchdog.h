/*
 * What looks after the event loops from outside: a thread that logs a loop which has not turned for too long, and one
 * that ends the process when a drain does not. Main starts them; they own nothing but themselves.
 */
#ifndef FERROD_SERVICE_WATCHDOG_H
#define FERROD_SERVICE_WATCHDOG_H

/* Logs each turn that takes longer than `seconds` (loop_stalled), now and then while it lasts; 0: nothing. Once. */
void watchdog_start(double seconds);
/* Joins its thread. */
void watchdog_stop(void);

/* From now on the process has `seconds` to end by itself; then it ends with exit code 1, wherever its threads are, even
 * if they cannot log. What was acknowledged is in the databases, as after a kill. */
void watchdog_end_within(double seconds);

#endif
