/* SPDX-License-Identifier: MIT */
/* The table of endpoints, which a tally has if it is wanted. */
#ifndef PORTMETER_TALLY_INTERNAL_H
#define PORTMETER_TALLY_INTERNAL_H

#include "portmeter/tally.h"

/* For @limit endpoints, from 2. PM_E_MEMORY or 0. */
int pm_endpoints_new(size_t limit, struct pm_hash_key key, struct pm_endpoints **ret_endpoints);
/* NULL is fine. */
void pm_endpoints_free(struct pm_endpoints *endpoints);
size_t pm_endpoints_rows(const struct pm_endpoints *endpoints);
void pm_endpoints_clear(struct pm_endpoints *endpoints);
/*
 * Adds all of @from. Their union is cut to the limit at the end, so that it does not matter in
 * which order the endpoints come.
 */
void pm_endpoints_merge(struct pm_endpoints *into, const struct pm_endpoints *from);

#endif
