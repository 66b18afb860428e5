/* SPDX-License-Identifier: MIT */
/*
 * Asks the kernel by an interface's number, which it keeps when it is renamed, over sockets that
 * stay open: neither needs the file system, which may be out of reach by then.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "device.h"

#ifdef __linux__
#include <linux/ethtool.h>
#include <linux/if_link.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/sockios.h>

/* More than any interface's description without its virtual functions, which are not asked for. */
#define ANSWER_MAX 32768
/* Figures of its own that a driver may have; those of large adapters have some thousands. */
#define FIGURES_MAX 65536

struct device {
	int netlink, control, index;
	uint32_t sequence;
	bool hardware; /* what the kernel counts of its drops means something when it is 0, too */
	/* The driver's own figures, ethtool(8) -S: which of them are drops for want of room. */
	struct ethtool_stats *stats; /* NULL: none of them is */
	uint32_t *drops;
	size_t n_drops;
};

/*
 * Names that drivers give frames which the host was too slow for: e1000 and igb, ixgbe, mlx4 and
 * mlx5, bnx2x, and each queue of virtio_net and veth.
 */
static bool is_drop(const char *name)
{
	static const char *const names[] = {
		"rx_no_buffer_count", "rx_no_dma_resources", "rx_out_of_buffer",
		"rx_missed_errors",   "rx_missed",	     "rx_discards",
	};
	unsigned queue;
	int end = 0;

	for (size_t i = 0; i < sizeof names / sizeof *names; i++)
		if (strcmp(name, names[i]) == 0)
			return true;
	return sscanf(name, "rx_queue_%5u_drops%n", &queue, &end) == 1 && end > 0 &&
	       name[end] == '\0';
}

static int ethtool(struct device *device, void *request)
{
	struct ifreq wanted;

	memset(&wanted, 0, sizeof wanted);
	if (!if_indextoname((unsigned)device->index, wanted.ifr_name))
		return -1;
	wanted.ifr_data = request;
	return ioctl(device->control, SIOCETHTOOL, &wanted);
}

/* How many figures the driver has; 0: none, or it does not say. */
static uint32_t figures_count(struct device *device)
{
	union {
		struct ethtool_sset_info info;
		uint32_t words[sizeof(struct ethtool_sset_info) / sizeof(uint32_t) + 1];
	} request;
	uint32_t n;

	memset(&request, 0, sizeof request);
	request.info.cmd = ETHTOOL_GSSET_INFO;
	request.info.sset_mask = UINT64_C(1) << ETH_SS_STATS;
	if (ethtool(device, &request) < 0 || !request.info.sset_mask)
		return 0;
	n = request.info.data[0];
	return n <= FIGURES_MAX ? n : 0;
}

/* Finds the driver's figures that count. Without memory it has none. */
static void find_drops(struct device *device)
{
	uint32_t n = figures_count(device);
	struct ethtool_gstrings *names;

	if (n == 0)
		return;
	names = calloc(1, sizeof *names + (size_t)n * ETH_GSTRING_LEN);
	device->drops = calloc(n, sizeof *device->drops);
	if (names && device->drops) {
		names->cmd = ETHTOOL_GSTRINGS;
		names->string_set = ETH_SS_STATS;
		names->len = n;
		if (ethtool(device, names) < 0)
			names->len = 0;
		for (uint32_t i = 0; i < names->len && i < n; i++) {
			char name[ETH_GSTRING_LEN + 1] = "";

			memcpy(name, names->data + (size_t)i * ETH_GSTRING_LEN, ETH_GSTRING_LEN);
			if (is_drop(name))
				device->drops[device->n_drops++] = i;
		}
	}
	free(names);
	if (device->n_drops)
		device->stats = calloc(1, sizeof *device->stats + n * sizeof(uint64_t));
	if (device->stats)
		device->stats->n_stats = n;
}

/* The sum of the driver's own drops. False: it has none. */
static bool own_drops(struct device *device, uint64_t *ret_dropped)
{
	uint32_t n;

	if (!device->stats)
		return false;
	n = device->stats->n_stats;
	device->stats->cmd = ETHTOOL_GSTATS;
	if (ethtool(device, device->stats) < 0 || device->stats->n_stats != n) {
		device->stats->n_stats = n;
		return false;
	}
	*ret_dropped = 0;
	for (size_t i = 0; i < device->n_drops; i++)
		*ret_dropped += device->stats->data[device->drops[i]];
	return true;
}

/*
 * What virtual interfaces are not: the kernel has standard counters for all, but only drivers fill
 * them.
 */
static bool is_hardware(const char *name)
{
	char path[64];

	snprintf(path, sizeof path, "/sys/class/net/%.15s/device", name);
	return strchr(name, '/') == NULL && access(path, F_OK) == 0;
}

struct device *pm_device_new(const char *name)
{
	unsigned index = if_nametoindex(name);
	struct timeval patience = { .tv_usec = 100000 };
	struct device *device;

	if (index == 0)
		return NULL;
	device = calloc(1, sizeof *device);
	if (!device)
		return NULL;
	device->index = (int)index;
	device->netlink = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
	device->control = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (device->netlink < 0 || device->control < 0 ||
	    setsockopt(device->netlink, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience) < 0) {
		pm_device_free(device);
		return NULL;
	}
	device->hardware = is_hardware(name);
	find_drops(device);
	return device;
}

void pm_device_free(struct device *device)
{
	if (!device)
		return;
	if (device->netlink >= 0)
		close(device->netlink);
	if (device->control >= 0)
		close(device->control);
	free(device->stats);
	free(device->drops);
	free(device);
}

/* As NLMSG_DATA and RTA_DATA, which lose const. */
static const void *message_data(const struct nlmsghdr *head)
{
	return (const char *)head + NLMSG_HDRLEN;
}

static const void *attribute_data(const struct rtattr *attribute)
{
	return (const char *)attribute + RTA_LENGTH(0);
}

static bool ask(struct device *device)
{
	struct {
		struct nlmsghdr head;
		struct ifinfomsg link;
	} request = {
		.head = { .nlmsg_len = sizeof request,
			  .nlmsg_type = RTM_GETLINK,
			  .nlmsg_flags = NLM_F_REQUEST,
			  .nlmsg_seq = ++device->sequence },
		.link = { .ifi_family = AF_UNSPEC, .ifi_index = device->index },
	};

	return send(device->netlink, &request, sizeof request, 0) == (ssize_t)sizeof request;
}

static void read_stats(const struct rtattr *attribute, struct device_state *state)
{
	struct rtnl_link_stats64 stats;
	size_t size = RTA_PAYLOAD(attribute);

	/* Kernels have added to its end; what an old one lacks is 0. */
	memset(&stats, 0, sizeof stats);
	memcpy(&stats, attribute_data(attribute), size < sizeof stats ? size : sizeof stats);
	/* as tcpdump has it, from libpcap */
	state->dropped = stats.rx_missed_errors + stats.rx_fifo_errors;
}

static void read_link(const struct nlmsghdr *head, struct device_state *state)
{
	struct ifinfomsg link;
	const char *at = (const char *)message_data(head) + NLMSG_ALIGN(sizeof link);
	size_t left;

	if (head->nlmsg_len < NLMSG_LENGTH(sizeof link))
		return;
	memcpy(&link, message_data(head), sizeof link);
	left = head->nlmsg_len - NLMSG_LENGTH(sizeof link);
	state->there = true;
	state->up = (link.ifi_flags & IFF_UP) != 0;
	state->type = link.ifi_type;
	while (left >= sizeof(struct rtattr)) {
		const struct rtattr *attribute = (const void *)at;
		size_t step = RTA_ALIGN(attribute->rta_len);

		if (attribute->rta_len < sizeof *attribute || attribute->rta_len > left)
			return;
		if (attribute->rta_type == IFLA_IFNAME)
			snprintf(state->name, sizeof state->name, "%.*s",
				 (int)RTA_PAYLOAD(attribute),
				 (const char *)attribute_data(attribute));
		if (attribute->rta_type == IFLA_STATS64)
			read_stats(attribute, state);
		if (step >= left)
			return;
		at += step;
		left -= step;
	}
}

/* Reads answers up to that to the last question. */
static bool answer(struct device *device, struct device_state *state)
{
	union {
		struct nlmsghdr head;
		char bytes[ANSWER_MAX];
	} message;

	for (int i = 0; i < 8; i++) {
		ssize_t n = recv(device->netlink, &message, sizeof message, 0);
		const struct nlmsghdr *head = &message.head;

		if (n < 0 && errno == EINTR)
			continue;
		if (n < (ssize_t)sizeof *head || head->nlmsg_len > (size_t)n)
			return false;
		if (head->nlmsg_seq != device->sequence)
			continue; /* late: to a question that was given up */
		if (head->nlmsg_type == RTM_NEWLINK)
			read_link(head, state);
		else if (head->nlmsg_type == NLMSG_ERROR) {
			struct nlmsgerr error;

			memcpy(&error, message_data(head), sizeof error.error);
			return error.error == -ENODEV;
		}
		return true;
	}
	return false;
}

bool pm_device_look(struct device *device, struct device_state *ret_state)
{
	struct device_state state = { .there = false };
	uint64_t own;

	if (!ask(device) || !answer(device, &state))
		return false;
	state.dropped_known = device->hardware || state.dropped;
	/* Drivers that keep both count the same drops in both. */
	if (state.there && own_drops(device, &own)) {
		state.dropped_known = true;
		if (own > state.dropped)
			state.dropped = own;
	}
	*ret_state = state;
	return true;
}

#else /* other systems: libpcap tells what there is to know */

struct device *pm_device_new(const char *name)
{
	(void)name;
	return NULL;
}

void pm_device_free(struct device *device)
{
	(void)device;
}

bool pm_device_look(struct device *device, struct device_state *ret_state)
{
	(void)device;
	(void)ret_state;
	return false;
}

#endif
