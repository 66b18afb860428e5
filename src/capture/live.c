/* SPDX-License-Identifier: MIT */
/*
 * Live capture. Never blocks in libpcap: its read timeout does not fire while no frame arrives. An
 * interface may go and come back; what counts is added up over all of its lives.
 */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "counter.h"
#include "device.h"
#include "handle.h"
#include "pause.h"

/* Bytes from one frame of the ring to the next, at most, for others to be guessed ahead. */
#define STEP_MAX 2048

/* Captures of one interface by several threads; alone, a group of one. The first leads. */
struct group {
	struct pm_capture_options options; /* with texts of its own */
	char *filter, *linktype;
	size_t n, members;      /* of whom so many are left */
	struct device *device;  /* the leader's; NULL: there is nothing to look at */
	pthread_mutex_t lock;   /* of all below */
	size_t reading;         /* members that have a handle */
	struct handle handles[PM_CAPTURE_THREADS]; /* made by the leader, not yet taken over */
	bool lost;              /* one of them found the interface gone */
	bool retyped;           /* or with another link type, as only the leader can tell */
};

struct live {
	struct pm_capture head;
	struct group *group;
	size_t index; /* in the group */
	uintptr_t frame_at;   /* where the last frame lay */
	int64_t empty_ns;     /* when the ring was last found empty; 0: never */
	uint64_t taken;       /* bytes of it since then */
	bool pauses;          /* frames may be left alone for a while (pause.h) */
	struct handle handle; /* pcap is NULL: the interface is not there */
	bool lost;            /* what handle reads from is gone */
	struct pm_capture_counts counts;
	bool stopped; /* counts are settled */
	bool picks; /* libpcap takes frames out after the kernel has counted them */

	/* The leader's: what the interface was at the last look, */
	struct device_state state;
	bool known;       /* there was one */
	int64_t away_ns;  /* and since when it is down or gone; 0: it is not */
	int64_t told_ns;  /* until when that is in the counts */
};

static struct live *live_of(struct pm_capture *capture)
{
	return (struct live *)capture; /* the head comes first */
}

static bool leads(const struct live *live)
{
	return live->index == 0;
}

/*
 * In the ring frames lie behind each other, with what the kernel says of each before it, and come
 * from another processor's cache. Those ahead are mostly as far apart as the last two.
 */
static void fetch_ahead(struct live *live, const u_char *bytes)
{
	uintptr_t at = (uintptr_t)bytes, step = at - live->frame_at;

	live->frame_at = at;
	if (step > live->handle.buffer) /* the ring has begun again, or it is the first frame */
		return;
	live->taken += step;
	if (step > STEP_MAX)
		return;
	__builtin_prefetch((const void *)(at + 4 * step));
	__builtin_prefetch((const void *)(at + 4 * step - 64));
}

static void on_frame(u_char *ctx, const struct pcap_pkthdr *header, const u_char *bytes)
{
	struct live *live = (struct live *)(void *)ctx;
	struct pm_frame frame = {
		.bytes = bytes,
		.held = header->caplen,
		.wire = header->len,
		.linktype = live->handle.linktype,
		.time_ns = pm_time_make(header->ts.tv_sec, live->handle.nanoseconds
								   ? header->ts.tv_usec
								   : header->ts.tv_usec * 1000),
		.number = ++live->head.number,
	};

	fetch_ahead(live, bytes);
	live->head.frame(live->head.frame_ctx, &frame);
}

static void went_away(struct live *live, int64_t now)
{
	if (!live->away_ns)
		live->away_ns = live->told_ns = now;
}

/*
 * What is in the buffer can still be taken. An interface that only has another name or link type
 * would go on filling it, with frames that nobody is going to see or that would be misread.
 */
static void give_up(struct live *live)
{
	live->lost = true;
	if (leads(live))
		went_away(live, pm_time_now());
	pm_handle_shut(&live->handle);
}

static int live_dispatch(struct pm_capture *capture, int max, pm_frame_fn *frame, void *ctx,
			 struct pm_error *err)
{
	struct live *live = live_of(capture);
	int n;

	if (!live->handle.pcap)
		return 0;
	capture->frame = frame;
	capture->frame_ctx = ctx;
	errno = 0;
	n = pcap_dispatch(live->handle.pcap, max, on_frame, (u_char *)live);
	if (n >= 0)
		return n;
	/* nflog and nfqueue have no frame and call it an error: libpcap there expects to block. */
	if (n == PCAP_ERROR_BREAK || errno == EAGAIN)
		return 0;
	give_up(live);
	return pm_error_set(err, PM_E_IO, NULL, 0, 0, "%s: %s", capture->name,
			    pcap_geterr(live->handle.pcap));
}

/* The ring is empty: how long to let it fill, in milliseconds, by how it was filled before. */
static int pause_of(struct live *live)
{
	int64_t now = pm_time_steady();
	int ms = pm_pause_ms(live->taken, now - live->empty_ns, live->handle.buffer);

	live->empty_ns = now;
	live->taken = 0;
	return live->pauses ? ms : 0;
}

static void wait_for_frames(struct live *live, int timeout_ms)
{
	struct pollfd fd = { .fd = pcap_get_selectable_fd(live->handle.pcap), .events = POLLIN };

	/*
	 * Without a descriptor to wait on, poll just sleeps: short, so that frames do not pile up.
	 */
	poll(&fd, 1, fd.fd >= 0 || timeout_ms < 10 ? timeout_ms : 10);
	if (fd.revents & (POLLERR | POLLNVAL))
		/* the next dispatch says what is wrong; until then, do not spin */
		poll(NULL, 0, 1);
}

void pm_capture_wait(struct pm_capture *capture, int timeout_ms)
{
	struct live *live = live_of(capture);
	int pause_ms;

	if (!pm_capture_live(capture))
		return;
	if (!pm_capture_there(capture)) {
		poll(NULL, 0, timeout_ms);
		return;
	}
	pause_ms = pause_of(live);
	if (pause_ms > 0)
		poll(NULL, 0, pause_ms < timeout_ms ? pause_ms : timeout_ms);
	else
		wait_for_frames(live, timeout_ms);
}

static void count_handle(struct live *live)
{
	struct pm_capture_counts *counts = &live->counts;
	struct pcap_stat stat;

	if (live->stopped || !live->handle.pcap || pcap_stats(live->handle.pcap, &stat) < 0)
		return;
	counts->received += pm_counter_growth(&live->handle.received, stat.ps_recv);
	counts->dropped_kernel += pm_counter_growth(&live->handle.dropped, stat.ps_drop);
	counts->received_known = counts->dropped_kernel_known = true;
	if (live->picks)
		counts->received = live->head.number + counts->dropped_kernel;
}

/* The time up to @now that the interface was not to be captured from. */
static void count_absence(struct live *live, int64_t now)
{
	if (!live->away_ns)
		return;
	if (now > live->told_ns) /* clocks may be set back */
		live->counts.down_ns += (uint64_t)(now - live->told_ns);
	live->told_ns = now;
}

static void live_count(struct pm_capture *capture, size_t source,
		       struct pm_capture_counts *ret_counts)
{
	struct live *live = live_of(capture);

	(void)source; /* there is but one */
	count_handle(live);
	if (leads(live) && !live->stopped)
		count_absence(live, pm_time_now());
	*ret_counts = live->counts;
}

/* For how long it was away, in seconds. */
static double came_back(struct live *live, int64_t now)
{
	int64_t since = live->away_ns;

	count_absence(live, now);
	live->away_ns = 0;
	return (double)(now - since) / PM_NS_PER_S;
}

/* Only what grows while it is the same interface is a drop of the capture. */
static void count_device(struct live *live, const struct device_state *state)
{
	live->counts.dropped_interface_known = state->dropped_known;
	if (live->known && state->dropped > live->state.dropped)
		live->counts.dropped_interface += state->dropped - live->state.dropped;
}

static void say_name(const struct live *live, const char *name)
{
	pm_capture_notice(&live->head, "%s: the interface is called %s now", live->head.name, name);
}

/*
 * False: what is captured from is not that interface any more. An interface may change its type and
 * stay the same otherwise, as wireless ones do for monitor mode; frames would then be taken for
 * those of the old one.
 */
static bool look_at_device(struct live *live, int64_t now)
{
	const char *name = live->head.name;
	struct device_state state;

	if (!pm_device_look(live->group->device, &state))
		return true;
	if (!state.there) {
		went_away(live, now);
		live->known = false;
		return true;
	}
	if (live->known && state.type != live->state.type)
		return false;
	count_device(live, &state);
	if (strcmp(state.name, live->known ? live->state.name : name) != 0)
		say_name(live, state.name);
	if (!state.up && !live->away_ns) {
		went_away(live, now);
		pm_capture_notice(&live->head, "%s: the interface is down", name);
	} else if (state.up && live->away_ns && live->handle.pcap) {
		pm_capture_notice(&live->head, "%s: the interface is up again after %.1f s", name,
				  came_back(live, now));
	}
	live->state = state;
	live->known = true;
	return true;
}

int pm_capture_look(struct pm_capture *capture, struct pm_error *err)
{
	struct live *live = live_of(capture);
	bool lost, retyped;

	if (!pm_capture_live(capture))
		return PM_OK;
	count_handle(live);
	if (!live->handle.pcap || live->lost)
		return PM_OK;
	retyped = leads(live) && live->group->device && !look_at_device(live, pm_time_now());
	pthread_mutex_lock(&live->group->lock);
	/* All must let go of it, and whoever is first to say so says why. */
	live->group->retyped |= retyped;
	live->group->lost |= retyped;
	retyped = live->group->retyped;
	lost = live->group->lost;
	pthread_mutex_unlock(&live->group->lock);
	if (!lost &&
	    (!leads(live) || live->known || !live->group->device || !live->away_ns))
		return PM_OK;
	give_up(live);
	return pm_error_set(err, PM_E_IO, NULL, 0, 0, "%s: the interface %s", capture->name,
			    retyped ? "has another link type" : "is gone");
}

void pm_capture_stop(struct pm_capture *capture)
{
	struct live *live = live_of(capture);
	struct pm_capture_counts counts;

	if (!pm_capture_live(capture) || live->stopped)
		return;
	if (live->handle.pcap)
		pm_handle_shut(&live->handle);
	live_count(capture, 0, &counts);
	live->stopped = true;
}

/*
 * Linux shows what is sent to the loopback twice, and libpcap takes the first look out itself, on
 * "any" too; so it does with the other direction of -Q. The kernel's count then says nothing about
 * what was captured.
 */
static bool picks(const char *interface, enum pm_direction direction)
{
	struct ifreq request;
	bool loopback = false;
	int fd;

	if (direction != PM_DIRECTION_BOTH || strcmp(interface, "any") == 0)
		return true;
	memset(&request, 0, sizeof request);
	snprintf(request.ifr_name, sizeof request.ifr_name, "%s", interface);
	fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd >= 0) {
		loopback = ioctl(fd, SIOCGIFFLAGS, &request) == 0 &&
			   request.ifr_flags & IFF_LOOPBACK;
		close(fd);
	}
	return loopback;
}

/* Takes over what the leader has opened for it. */
static void adopt(struct live *live)
{
	struct source *source = live->head.sources[0];
	struct group *group = live->group;

	live->handle = group->handles[live->index];
	/* Others than the kernel's interfaces have no ring. */
	live->pauses = group->device && !group->options.immediate;
	live->frame_at = 0;
	live->empty_ns = 0;
	live->taken = 0;
	group->handles[live->index].pcap = NULL;
	group->reading++;
	live->lost = false;
	source->facts.link = pcap_datalink_val_to_name(pcap_datalink(live->handle.pcap));
	source->facts.linktype = live->handle.linktype;
	source->facts.snaplen = pcap_snapshot(live->handle.pcap);
}

/* The interface's name: as it was given, unless it has been renamed and is still there. */
static const char *name_now(const struct live *live, struct device_state *state)
{
	if (live->group->device && pm_device_look(live->group->device, state) && state->there)
		return state->name;
	return live->head.name;
}

/* By the leader, under the lock, when nobody reads any more. */
static int open_group(struct live *live, struct pm_error *err)
{
	struct group *group = live->group;
	char warning[PCAP_ERRBUF_SIZE + 32];
	struct device_state state;
	const char *name = name_now(live, &state);
	int r = pm_handles_open(group->handles, group->n, name, &group->options, warning,
				sizeof warning, err);

	if (r < 0)
		return r;
	if (warning[0])
		pm_capture_notice(&live->head, "%s", warning);
	if (strcmp(name, live->known ? live->state.name : live->head.name) != 0)
		say_name(live, name);
	group->lost = group->retyped = false;
	pm_device_free(group->device);
	group->device = pm_device_new(name);
	live->known = group->device && pm_device_look(group->device, &live->state) &&
		      live->state.there;
	if (live->known)
		live->counts.dropped_interface_known = live->state.dropped_known;
	live->picks = picks(name, group->options.direction);
	return PM_OK;
}

static void let_go(struct live *live)
{
	if (!live->handle.pcap)
		return;
	count_handle(live);
	pm_handle_close(&live->handle);
	live->group->reading--;
	live->group->lost = true;
}

int pm_capture_reopen(struct pm_capture *capture, struct pm_error *err)
{
	struct live *live = live_of(capture);
	struct group *group = live->group;
	int r = PM_E_IO;

	pthread_mutex_lock(&group->lock);
	let_go(live);
	if (leads(live)) {
		went_away(live, pm_time_now());
		if (group->reading == 0)
			r = open_group(live, err);
	}
	if (group->handles[live->index].pcap) {
		adopt(live);
		r = PM_OK;
	}
	pthread_mutex_unlock(&group->lock);
	if (r == PM_OK && leads(live))
		came_back(live, pm_time_now());
	return r;
}

bool pm_capture_there(const struct pm_capture *capture)
{
	const struct live *live = (const struct live *)capture;

	return !pm_capture_live(capture) || (live->handle.pcap && !live->lost);
}

static void group_drop(struct group *group)
{
	if (--group->members > 0)
		return;
	pm_device_free(group->device);
	pthread_mutex_destroy(&group->lock);
	free(group->filter);
	free(group->linktype);
	free(group);
}

static void live_close(struct pm_capture *capture)
{
	struct live *live = live_of(capture);
	struct group *group = live->group;

	if (!group)
		return;
	pm_handle_close(&live->handle);
	pm_handle_close(&group->handles[live->index]);
	group_drop(group);
}

static const struct capture_ops live_ops = { live_dispatch, live_count, NULL, live_close };

/* Its maker is a member of it, too. */
static struct group *group_new(const struct pm_capture_options *options, size_t n)
{
	struct group *group = calloc(1, sizeof *group);

	if (!group)
		return NULL;
	group->n = n;
	group->members = 1;
	group->options = *options;
	group->filter = options->filter ? strdup(options->filter) : NULL;
	group->linktype = options->linktype ? strdup(options->linktype) : NULL;
	group->options.filter = group->filter;
	group->options.linktype = group->linktype;
	pthread_mutex_init(&group->lock, NULL);
	if ((group->filter || !options->filter) && (group->linktype || !options->linktype))
		return group;
	group_drop(group);
	return NULL;
}

static int member_new(struct group *group, const char *interface, size_t index,
		      const struct pm_capture_options *options, struct pm_capture **ret_capture)
{
	struct live *live = calloc(1, sizeof *live);
	struct source *source;
	int r;

	if (!live)
		return PM_E_MEMORY;
	live->index = index;
	r = pm_capture_init(&live->head, &live_ops, interface, options);
	if (r == PM_OK)
		r = pm_source_add(&live->head, interface, &source);
	if (r < 0) {
		pm_capture_close(&live->head);
		return r;
	}
	source->facts.filter = live->head.filter;
	live->group = group;
	group->members++;
	live->picks = picks(interface, options->direction);
	*ret_capture = &live->head;
	return PM_OK;
}

int pm_capture_open_shared(const char *interface, const struct pm_capture_options *options,
			   size_t n, struct pm_error *err, struct pm_capture **ret_captures)
{
	struct pm_capture *captures[PM_CAPTURE_THREADS];
	struct group *group;
	size_t made = 0;
	int r = PM_E_MEMORY;

	if (n == 0 || n > PM_CAPTURE_THREADS)
		return PM_E_INVALID;
	group = group_new(options, n);
	if (!group)
		return PM_E_MEMORY;
	while (made < n &&
	       (r = member_new(group, interface, made, options, &captures[made])) == PM_OK)
		made++;
	if (r == PM_OK)
		r = open_group(live_of(captures[0]), err);
	if (r == PM_OK) {
		for (size_t i = 0; i < n; i++)
			adopt(live_of(captures[i]));
	} else if (group->handles[0].absent && options->wait && made == n) {
		went_away(live_of(captures[0]), pm_time_now());
		r = PM_OK;
	}
	if (r == PM_OK)
		memcpy(ret_captures, captures, n * sizeof *captures);
	while (r < 0 && made > 0)
		pm_capture_close(captures[--made]);
	group_drop(group);
	return r;
}

int pm_capture_open_live(const char *interface, const struct pm_capture_options *options,
			 struct pm_error *err, struct pm_capture **ret_capture)
{
	return pm_capture_open_shared(interface, options, 1, err, ret_capture);
}
