/* SPDX-License-Identifier: MIT */
/*
 * What the system says of a network interface while it is captured from: whether it is there and
 * up, what it is called, what it has dropped. rtnetlink(7), netdevice(7).
 */
#ifndef PORTMETER_DEVICE_H
#define PORTMETER_DEVICE_H

#include <net/if.h>
#include <stdbool.h>
#include <stdint.h>

struct device; /* opaque; used by one thread at a time */

struct device_state {
	bool there, up;
	char name[IF_NAMESIZE]; /* at the moment; valid with there */
	unsigned type;          /* ARPHRD_*, what its frames begin with; valid with there */
	/* Frames since it exists that it or its driver had no room for; valid with known. */
	uint64_t dropped;
	bool dropped_known;
};

/*
 * Looks after the interface that @name is now, whatever it is called later. NULL: it is not there,
 * or is none of the kernel's ("any"), or the system can't tell.
 */
struct device *pm_device_new(const char *name);
/* NULL is fine. */
void pm_device_free(struct device *device);
/* False: the system does not say. */
bool pm_device_look(struct device *device, struct device_state *ret_state);

#endif
