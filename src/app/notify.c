/* SPDX-License-Identifier: MIT */
/* The protocol of sd_notify(3) and sd_watchdog_enabled(3): lines of NAME=value in a datagram. */
#include "notify.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define US_PER_S 1000000
#define US_PER_MS 1000
/* Longest that a manager which does not read may hold us up, and only where it must know. */
#define PATIENCE_S 2
#define TEXT_MAX 512

static struct {
	int fd; /* connected; -1: nobody is to be told */
	bool stopping;
	uint64_t watchdog_us; /* half of what is allowed; 0: nobody watches */
	uint64_t alive_us;    /* when it was said last, by the monotonic clock */
	char status[TEXT_MAX];
} manager = { .fd = -1 };

static uint64_t now_us(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * US_PER_S + (uint64_t)now.tv_nsec / 1000;
}

/* A path, or with @ a name of the kernel's own, which begins with a null byte. */
static bool address_of(const char *name, struct sockaddr_un *ret_address, socklen_t *ret_size)
{
	size_t length = strlen(name);

	*ret_address = (struct sockaddr_un){ .sun_family = AF_UNIX };
	if ((name[0] != '/' && name[0] != '@') || length < 2 ||
	    length >= sizeof ret_address->sun_path)
		return false;
	memcpy(ret_address->sun_path, name, length);
	if (name[0] == '@')
		ret_address->sun_path[0] = '\0';
	*ret_size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length +
				(name[0] == '/'));
	return true;
}

static uint64_t number_of(const char *name)
{
	const char *text = getenv(name);
	char *end;
	unsigned long long number;

	if (!text || *text < '0' || *text > '9')
		return 0;
	number = strtoull(text, &end, 10);
	return *end ? 0 : number;
}

/* The variables may have been meant for who started us, and passed on by mistake. */
static void watch_init(void)
{
	uint64_t pid = number_of("WATCHDOG_PID");

	if (!getenv("WATCHDOG_PID") || pid == (uint64_t)getpid())
		manager.watchdog_us = number_of("WATCHDOG_USEC") / 2;
}

void notify_init(void)
{
	const struct timeval patience = { .tv_sec = PATIENCE_S };
	const char *name = getenv("NOTIFY_SOCKET");
	struct sockaddr_un address;
	socklen_t size;

	if (!name || !address_of(name, &address, &size))
		return;
	manager.fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (manager.fd < 0)
		return;
	setsockopt(manager.fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
	if (connect(manager.fd, (const struct sockaddr *)&address, size) < 0) {
		close(manager.fd);
		manager.fd = -1;
		return;
	}
	watch_init();
}

bool notify_wanted(void)
{
	return manager.fd >= 0;
}

/* A manager that is gone, or full, is no reason to do anything else. */
static void tell(const char *text, int flags)
{
	if (send(manager.fd, text, strlen(text), MSG_NOSIGNAL | flags) < 0)
		return;
}

static void set_status(const char *format, va_list args) PM_PRINTF(1, 0);

static void set_status(const char *format, va_list args)
{
	vsnprintf(manager.status, sizeof manager.status, format, args);
	/* A line each: names of interfaces may hold anything. */
	for (char *c = manager.status; *c; c++)
		if ((unsigned char)*c < 0x20 || *c == 0x7f)
			*c = '?';
}

void notify_ready(const char *format, ...)
{
	char text[TEXT_MAX + 32];
	va_list args;

	if (!notify_wanted())
		return;
	va_start(args, format);
	set_status(format, args);
	va_end(args);
	snprintf(text, sizeof text, "READY=1\nSTATUS=%s", manager.status);
	tell(text, 0);
}

void notify_status(const char *format, ...)
{
	char before[TEXT_MAX], text[TEXT_MAX + 32];
	va_list args;

	if (!notify_wanted())
		return;
	memcpy(before, manager.status, sizeof before);
	va_start(args, format);
	set_status(format, args);
	va_end(args);
	if (strcmp(before, manager.status) == 0)
		return;
	snprintf(text, sizeof text, "STATUS=%s", manager.status);
	tell(text, MSG_DONTWAIT);
}

void notify_reloading(void)
{
	char text[64];

	if (!notify_wanted())
		return;
	snprintf(text, sizeof text, "RELOADING=1\nMONOTONIC_USEC=%" PRIu64, now_us());
	tell(text, 0);
}

void notify_stopping(void)
{
	if (!notify_wanted() || manager.stopping)
		return;
	manager.stopping = true;
	tell("STOPPING=1", 0);
}

int notify_due_ms(int limit_ms)
{
	uint64_t due = manager.alive_us + manager.watchdog_us, now;

	if (!manager.watchdog_us)
		return limit_ms;
	now = now_us();
	if (due <= now)
		return 0;
	if (due - now >= (uint64_t)limit_ms * US_PER_MS)
		return limit_ms;
	return (int)((due - now) / US_PER_MS);
}

void notify_alive(void)
{
	if (!manager.watchdog_us || notify_due_ms(1) > 0)
		return;
	manager.alive_us = now_us();
	tell("WATCHDOG=1", MSG_DONTWAIT);
}
