/* SPDX-License-Identifier: MIT */
/*
 * What a service manager is told, if there is one: sd_notify(3). Datagrams to the socket that
 * NOTIFY_SOCKET names; no library is needed.
 */
#ifndef PORTMETER_NOTIFY_H
#define PORTMETER_NOTIFY_H

#include <stdbool.h>
#include <stdint.h>

#include "portmeter/base.h"

/* Connects, before rights go. What follows does nothing if nobody has asked to be told. */
void notify_init(void);
/* Whether there is somebody. */
bool notify_wanted(void);
/* It is up, or has reloaded; what it does, for people to read. */
void notify_ready(const char *format, ...) PM_PRINTF(1, 2);
/* Something else to read; the same again: nothing is sent. */
void notify_status(const char *format, ...) PM_PRINTF(1, 2);
/* Before rules are loaded and output is opened anew; notify_ready follows. */
void notify_reloading(void);
/* Once, when it begins to end. */
void notify_stopping(void);
/* Milliseconds until notify_alive is due, 0 if it is, at most @limit_ms: also if nobody watches. */
int notify_due_ms(int limit_ms);
/* That all goes on. If it is not said in time, the manager kills the process and starts another. */
void notify_alive(void);

#endif
