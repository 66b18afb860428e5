/* SPDX-License-Identifier: MIT */
/* What is captured from: an interface with a thread of its own. */
#ifndef PORTMETER_SENSOR_H
#define PORTMETER_SENSOR_H

#include "app.h"
#include "portmeter/meter.h"

struct live_run;

struct sensor {
	struct live_run *live;
	struct pm_capture *capture;
	struct pm_meter *meter;
	struct pm_source source;
	pthread_t thread;
	bool started;
	atomic_bool ended, failed;
	atomic_bool cut, counts; /* asked for; the thread does it */
	atomic_uint beats;       /* rounds that it has made */
	unsigned seen;           /* of them, by sensor_moves */
};

/* What all sensors of a run share; the first thread owns it. */
struct live_run {
	struct run *run;
	struct sensor *sensors;
	size_t n;
	atomic_bool stop;
	bool limited;
	atomic_llong left;      /* frames that -c still allows */
	pthread_mutex_t output; /* frames are written where they are counted */
};

/* Opens the interface that @text names; NULL: the first. An exit code; what is wrong is said. */
int sensor_open(struct live_run *live, struct sensor *sensor, const char *text);
/* Starts the thread. An errno or 0. */
int sensor_start(struct sensor *sensor);
/* Waits for its end, which live->stop brings about; nothing if it was not started. */
void sensor_join(struct sensor *sensor);
/* Whether it has gone on since this was asked last, or has come to its end. One thread asks. */
bool sensor_moves(struct sensor *sensor);
/* Says what it has captured. By its thread, or after its end. */
void sensor_counts(struct sensor *sensor);
/* Frees what it has opened, if anything. */
void sensor_close(struct sensor *sensor);

#endif
