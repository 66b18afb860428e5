/* SPDX-License-Identifier: MIT */
/* Counts a capture file through libportmeter: prints its services and what had no label. */
#include <stdio.h>

#include "portmeter/meter.h"

struct example {
	struct pm_meter *meter;
	struct pm_source source;
};

static void on_closed(void *ctx)
{
	struct example *e = ctx;
	struct pm_tally *tally = pm_meter_take(e->meter);
	struct pm_record *record;

	if (pm_record_new(tally, &e->source, &record) == PM_OK) {
		for (size_t i = 0; i < record->n_services; i++)
			printf("%-12s %-8s %8llu packets\n", record->services[i].service,
			       pm_transport_name((enum pm_transport)record->services[i].transport),
			       (unsigned long long)record->services[i].count.packets);
		printf("%-12s %-8s %8llu packets\n", "unknown", "",
		       (unsigned long long)record->unknown.count.packets);
		pm_record_free(record);
	}
	pm_meter_give(e->meter, tally);
}

int main(int argc, char **argv)
{
	const char *const paths[] = { argc == 2 ? argv[1] : "-" };
	struct pm_capture_options capture_options = { .filter = NULL };
	struct pm_rules_options rules_options = { .folder = pm_rules_folder() };
	struct example e = { .source = { .name = paths[0], .files = 1, .snaplen = -1 } };
	struct pm_meter_options meter_options = { .closed = on_closed, .ctx = &e };
	struct pm_capture *capture = NULL;
	struct pm_error err = { .line = 0 };
	int r = pm_rules_load(&rules_options, &err, &meter_options.rules);

	if (r == PM_OK)
		r = pm_capture_open_files(paths, 1, &capture_options, &err, &capture);
	if (r == PM_OK)
		r = pm_meter_new(&meter_options, &e.meter);
	while (r == PM_OK &&
	       (r = pm_capture_dispatch(capture, 1000, pm_meter_frame, e.meter, &err)) > 0)
		r = PM_OK;
	if (e.meter)
		pm_meter_finish(e.meter, 0, r == PM_OK);
	if (r < 0)
		fprintf(stderr, "%s: %s\n", paths[0], err.text[0] ? err.text : pm_strerror(r));
	pm_meter_free(e.meter);
	pm_capture_close(capture);
	pm_rules_unref(meter_options.rules);
	return r < 0;
}
