/* SPDX-License-Identifier: MIT */
/* What a compiled set of rules tells, and when it ends. */
#include <assert.h>
#include <stdlib.h>

#include "service-internal.h"

struct pm_rules *pm_rules_ref(struct pm_rules *rules)
{
	atomic_fetch_add_explicit(&rules->references, 1, memory_order_relaxed);
	return rules;
}

void pm_rules_unref(struct pm_rules *rules)
{
	/* The last user must see what the others did before they let go. */
	if (!rules || atomic_fetch_sub_explicit(&rules->references, 1, memory_order_acq_rel) != 1)
		return;
	pm_list_fini(&rules->list);
	free(rules->order);
	free(rules->categories);
	free(rules->groups);
	free(rules->slots);
	free(rules->segments);
	free(rules);
}

size_t pm_rules_entries(const struct pm_rules *rules)
{
	return rules->list.entries;
}

size_t pm_rules_conflicts(const struct pm_rules *rules)
{
	return rules->conflicts;
}

const char *pm_rules_sha256(const struct pm_rules *rules)
{
	return rules->sha256;
}

uint64_t pm_rules_generation(const struct pm_rules *rules)
{
	return rules->generation;
}

bool pm_rules_any_scope(const struct pm_rules *rules)
{
	return rules->n_groups != 0;
}

uint32_t pm_rules_services(const struct pm_rules *rules)
{
	return rules->list.names.n;
}

const char *pm_rules_name(const struct pm_rules *rules, uint32_t service)
{
	assert(service <= rules->list.names.n);
	return pm_strings_at(&rules->list.names, service);
}

const char *pm_rules_category(const struct pm_rules *rules, uint32_t service)
{
	assert(service <= rules->list.names.n);
	return pm_strings_at(&rules->list.categories, rules->categories[service]);
}

uint32_t pm_rules_label(const struct pm_rules *rules, enum pm_transport transport, uint16_t port)
{
	assert((unsigned)transport < PM_TRANSPORT_N);
	return rules->labels[transport][port].service;
}

uint32_t pm_rules_label_at(const struct pm_rules *rules, enum pm_transport transport, uint16_t port,
			   int ip_version, const struct pm_address *address)
{
	struct pm_label label;

	assert((unsigned)transport < PM_TRANSPORT_N);
	label = rules->labels[transport][port];
	if (label.flags & PM_LABEL_SCOPED)
		pm_rules_find_scoped(rules, ip_version, address, transport, port, &label);
	return label.service;
}

bool pm_rules_scoped(const struct pm_rules *rules, enum pm_transport transport, uint16_t port)
{
	assert((unsigned)transport < PM_TRANSPORT_N);
	/* the smaller table says so of nearly all ports */
	return rules->classes[transport][port] == PM_CLASS_ASK &&
	       rules->labels[transport][port].flags & PM_LABEL_SCOPED;
}

bool pm_rules_metric(const struct pm_rules *rules, enum pm_transport transport, uint16_t port)
{
	assert((unsigned)transport < PM_TRANSPORT_N);
	return rules->labels[transport][port].flags & PM_LABEL_METRIC;
}
