/* SPDX-License-Identifier: MIT */
/* What there is to capture on, and how. */
#include <stdio.h>

#include "handle.h"

static void describe(const pcap_if_t *interface, char *text, size_t size)
{
	snprintf(text, size, "%s%s%s[%s%s%s]", interface->description ? "(" : "",
		 interface->description ? interface->description : "",
		 interface->description ? ") " : "", interface->flags & PCAP_IF_UP ? "Up" : "Down",
		 interface->flags & PCAP_IF_RUNNING ? ", Running" : "",
		 interface->flags & PCAP_IF_LOOPBACK ? ", Loopback" : "");
}

int pm_capture_interfaces(pm_capture_item_fn *item, void *ctx, struct pm_error *err)
{
	char text[PCAP_ERRBUF_SIZE] = "";
	pcap_if_t *all;

	if (pcap_findalldevs(&all, text) < 0)
		return pm_error_set(err, PM_E_IO, NULL, 0, 0, "%s", text);
	for (const pcap_if_t *interface = all; interface; interface = interface->next) {
		char line[256];

		describe(interface, line, sizeof line);
		item(ctx, interface->name, line);
	}
	pcap_freealldevs(all);
	return PM_OK;
}

int pm_capture_linktypes(const char *interface, pm_capture_item_fn *item, void *ctx,
			 struct pm_error *err)
{
	char text[PCAP_ERRBUF_SIZE] = "";
	pcap_t *pcap = pcap_create(interface, text);
	int *types = NULL;
	int n, r = PM_OK;

	if (!pcap)
		return pm_error_set(err, PM_E_IO, NULL, 0, 0, "%s: %s", interface, text);
	n = pcap_activate(pcap);
	if (n >= 0)
		n = pcap_list_datalinks(pcap, &types);
	if (n < 0)
		r = pm_handle_failure(err, interface, pcap, n);
	for (int i = 0; i < n; i++) {
		const char *name = pcap_datalink_val_to_name(types[i]);
		const char *description = pcap_datalink_val_to_description(types[i]);

		if (name)
			item(ctx, name, description ? description : "");
	}
	if (n >= 0)
		pcap_free_datalinks(types);
	pcap_close(pcap);
	return r;
}
