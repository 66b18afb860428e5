/* SPDX-License-Identifier: MIT */
/*
 * Any bytes on a connection to the server, through the library and our answers: what comes back is
 * HTTP or nothing, only reading is answered with success, and the connection is freed when the
 * client goes.
 */
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "require.h"
#include "server.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Steps of the server for an input; more than any answer here takes. */
#define STEPS 64
#define REQUEST_MAX 65536

static struct pm_web *server;
static struct pm_metrics *metrics;
static const char record[] = "{\"schema\":\"portmeter.summary/1\"}\n";

static void start(void)
{
	static const char schema[] = "{}";
	struct pm_web_options options = {
		.listen = "127.0.0.1:0",
		.history = 4096,
		.schema = schema,
		.schema_size = sizeof schema - 1,
	};

	REQUIRE(pm_metrics_new(0, 0, &metrics) == PM_OK);
	options.metrics = metrics;
	REQUIRE(pm_web_open(&options, NULL, &server) == PM_OK);
	for (int i = 0; i < 3; i++)
		REQUIRE(pm_web_publish(server, i ? "eth0" : "eth1", true, i * PM_NS_PER_S,
				       strdup(record), sizeof record - 1) == PM_OK);
}

/* The first answer to what was sent; @ret_size bytes of it. */
static size_t talk(int fd, char *answer, size_t room)
{
	size_t size = 0;

	for (int step = 0; step < STEPS; step++) {
		ssize_t n;

		MHD_run(server->daemon);
		n = recv(fd, answer + size, room - size, MSG_DONTWAIT);
		if (n == 0)
			break;
		if (n > 0)
			size += (size_t)n;
		else if (size && step > 8) /* a stream of events has no end */
			break;
	}
	return size;
}

static void check(const uint8_t *data, size_t size, const char *answer, size_t length)
{
	static const char *const readers[] = { "GET", "HEAD", "OPTIONS" };
	bool reads = false;

	if (length == 0)
		return;
	REQUIRE(length > 12 && memcmp(answer, "HTTP/1.", 7) == 0);
	/* The library passes over what it takes for empty lines before a request. */
	for (size_t i = 0; i < sizeof readers / sizeof *readers; i++)
		reads |= memmem(data, size, readers[i], strlen(readers[i])) != NULL;
	REQUIRE(answer[9] != '2' || reads);
}

/* With no client left, a record is held by the history and, the newest, by its source. */
static void check_references(const struct history *history)
{
	for (uint64_t number = history->next - history->n; number < history->next; number++) {
		const struct web_record *kept = history->ring[number % history->room];
		bool is_latest = kept->source->latest == kept;

		REQUIRE(atomic_load(&kept->references) == 1U + is_latest);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static char answer[REQUEST_MAX];
	struct sockaddr_in address = { .sin_family = AF_INET };
	int ends[2];
	size_t length;

	if (!server)
		start();
	if (size > REQUEST_MAX)
		return 0;
	REQUIRE(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends) == 0);
	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	REQUIRE(MHD_add_connection(server->daemon, ends[0], (const struct sockaddr *)&address,
				   sizeof address) == MHD_YES);
	REQUIRE(size == 0 || send(ends[1], data, size, 0) >= 0);
	length = talk(ends[1], answer, sizeof answer);
	check(data, size, answer, length);
	close(ends[1]);
	for (int step = 0; step < STEPS && server->clients; step++) {
		pm_web_streams_resume(server, true);
		/* What waits for its heartbeat finds out by writing. */
		pm_web_publish(server, "eth0", true, step, strdup(record), sizeof record - 1);
		MHD_run(server->daemon);
	}
	REQUIRE(!server->clients && !server->streams && server->counts.connections == 0);
	check_references(&server->history);
	return 0;
}
