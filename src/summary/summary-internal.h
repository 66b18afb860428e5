/* SPDX-License-Identifier: MIT */
#ifndef PORTMETER_SUMMARY_INTERNAL_H
#define PORTMETER_SUMMARY_INTERNAL_H

#include "portmeter/summary.h"

/* Rows of endpoints, sorted, and what stands in none, if they were counted. PM_E_MEMORY or 0. */
int pm_endpoints_gather(struct pm_record *record, const struct pm_tally *tally);
/* Keeps the first @top rows. */
void pm_endpoints_cut(struct pm_record *record, size_t top);
/* Adds the frames of all endpoints to what a sum holds of others. */
void pm_endpoints_add(struct pm_record *sum, const struct pm_record *record);

#endif
