/* SPDX-License-Identifier: MIT */
/* What a tally holds of anomalies, for the rest of the room. */
#ifndef PM_TALLY_ANOMALY_H
#define PM_TALLY_ANOMALY_H

#include "portmeter/tally.h"

/* NULL when memory is short. */
struct pm_unusual *pm_unusual_new(void);
/* NULL is fine. */
void pm_unusual_free(struct pm_unusual *unusual);
/* Empties all that a tally holds of anomalies, but for the facets' counts. */
void pm_anomaly_clear(struct pm_tally *tally);
/* Counts and example of the sessions with ports without label; may be done again. */
void pm_anomaly_settle(struct pm_tally *tally);
/* Adds all but the facets' counts. */
void pm_anomaly_merge(struct pm_tally *into, const struct pm_tally *from);

#endif
