/* SPDX-License-Identifier: MIT */
/* What is captured from: an interface, by a thread of its own or by several. */
#ifndef PORTMETER_SENSOR_H
#define PORTMETER_SENSOR_H

#include "app.h"
#include "portmeter/meter.h"

struct live_run;
struct sensor;

/* A thread that captures. The first one of a sensor leads. */
struct tap {
	struct sensor *sensor;
	struct pm_capture *capture;
	struct pm_meter *meter;
	pthread_t thread;
	bool started;
	atomic_bool ended;
	/* Asked for; the thread does it: to close the interval at this time, 0: no; the counts. */
	atomic_llong cut_ns;
	atomic_bool counts;
	atomic_llong seen_ns; /* when it last began a round, by the monotonic clock; 0: never */
	int64_t moved_ns;     /* the same as sensor_moves has seen it */
	/*
	 * The thread's own: when to look after the interface, or to try it again, and how long
	 * after that once more.
	 */
	int64_t look_ns, retry_ns, delay_ns;
	bool lost; /* there is nothing to capture from */
};

/* What an interface is like from a moment on. */
struct sensor_change {
	int64_t from_ns; /* PM_TIME_MAX: it has not changed */
	const char *link;
	int snaplen;
};

struct sensor {
	struct live_run *live;
	struct tap *taps;
	size_t n; /* of them */
	struct pm_lanes *lanes;
	struct pm_source source; /* whoever takes tallies changes it, and nobody else */
	int64_t lost_ns; /* the leader's: since when the interface is gone; 0: it is there */
	bool heard;              /* the leader's: it has been there */

	pthread_mutex_t lock; /* of all below */
	struct sensor_change change;
	/* What each has counted when it was asked last, and how many have yet to say so. */
	struct pm_capture_counts counts[PM_CAPTURE_THREADS];
	uint64_t frames[PM_CAPTURE_THREADS];
	size_t counts_due;
	bool told; /* that the interface is gone has been said */
};

/* What all sensors of a run share; the first thread owns it. */
struct live_run {
	struct run *run;
	struct sensor *sensors;
	size_t n;
	atomic_bool stop;
	atomic_llong end_ns; /* when the last interval of all ends; 0: not settled yet */
	bool limited;
	atomic_llong left;      /* frames that -c still allows */
	pthread_mutex_t output; /* frames are written where they are counted */
	struct reporter *reporter;
	size_t next; /* sensor of which the reporter takes first: each gets its turn */
};

/* Opens the interface that @text names; NULL: the first. An exit code; what is wrong is said. */
int sensor_open(struct live_run *live, struct sensor *sensor, const char *text);
/* Starts its threads. An errno or 0. */
int sensor_start(struct sensor *sensor);
/* Waits for their end, which live->stop brings about; nothing if there are none. */
void sensor_join(struct sensor *sensor);
/* Whether all its threads that were started have come to their end. */
bool sensor_ended(struct sensor *sensor);
/*
 * Whether all its threads have gone on since this was asked last, or have come to their end. One
 * thread asks.
 */
bool sensor_moves(struct sensor *sensor);
/* The interface as it was named, and whether it is being waited for; any thread. */
const char *sensor_name(const struct sensor *sensor);
bool sensor_waits(struct sensor *sensor);
/*
 * Any thread: whether all go on and there is an interface; else @ret_why says why not.
 */
bool sensor_healthy(struct sensor *sensor, char *ret_why, size_t size);
/* Whether the interface was there at the end. */
bool sensor_there(const struct sensor *sensor);
/* Asks for the interval to be closed, for the counts, for other rules; any thread. */
void sensor_cut(struct sensor *sensor, int64_t now);
void sensor_ask_counts(struct sensor *sensor);
void sensor_set_rules(struct sensor *sensor, struct pm_rules *rules);
/* A closed tally, for which sensor->source holds until the next; NULL: none. One thread takes. */
struct pm_tally *sensor_take(struct sensor *sensor);
void sensor_give(struct sensor *sensor, struct pm_tally *tally);
/* Says what it has captured. After its end. */
void sensor_counts(struct sensor *sensor);
/* Frees what it has opened, if anything. */
void sensor_close(struct sensor *sensor);

#endif
