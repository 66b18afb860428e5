/* SPDX-License-Identifier: MIT */
/* What two ways through the same frames must find alike, summed over their records. */
#ifndef PORTMETER_TESTS_FUZZ_FINDINGS_H
#define PORTMETER_TESTS_FUZZ_FINDINGS_H

#include "portmeter/summary.h"

struct findings {
	uint64_t side_by[PM_RUNG_N], talk[PM_TALK_N], facets[PM_FACET_N], endpoints;
};

static inline void findings_add_row(struct findings *findings, const struct pm_service_row *row)
{
	for (int i = 0; i < PM_RUNG_N; i++)
		findings->side_by[i] += row->side_by[i];
	for (int i = 0; i < PM_TALK_N; i++)
		findings->talk[i] += row->talk[i];
}

static inline void findings_add(struct findings *findings, const struct pm_record *record)
{
	for (size_t i = 0; i < record->n_services; i++)
		findings_add_row(findings, &record->services[i]);
	findings_add_row(findings, &record->unknown);
	for (int i = 0; i < PM_FACET_N; i++)
		findings->facets[i] += record->facets[i].packets;
	for (size_t i = 0; i < record->n_endpoints; i++)
		findings->endpoints += record->endpoints[i].count.packets;
}

#endif
