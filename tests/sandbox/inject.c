/* SPDX-License-Identifier: MIT */
/*
 * What a frame that has broken in would try. Linked into a program of the tests only, which is
 * portmeter but that calls of some functions come here first (the linker's --wrap); portmeter
 * itself has no place where anything could be hooked in.
 *
 * PORTMETER_INJECT="ACTION ARGUMENT" is tried once the sandbox is entered, by the first thread
 * ("main"), by each other one as it begins ("thread 1", ...) and in the midst of reading frames
 * ("frames"), and what came of it is printed: "inject: POINT: 0", or an errno.
 * PORTMETER_INJECT_AT: at this point only.
 */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "portmeter/capture.h"

struct run;

/* What is wrapped: pthread.h, app.h and portmeter/capture.h. */
int __real_pthread_create(pthread_t *ret_thread, const pthread_attr_t *attributes,
			  void *(*function)(void *), void *ctx);
int __wrap_pthread_create(pthread_t *ret_thread, const pthread_attr_t *attributes,
			  void *(*function)(void *), void *ctx);
bool __real_run_drop_privileges(struct run *run, bool by_name);
bool __wrap_run_drop_privileges(struct run *run, bool by_name);
int __real_pm_capture_dispatch(struct pm_capture *capture, int max, pm_frame_fn *frame, void *ctx,
			       struct pm_error *err);
int __wrap_pm_capture_dispatch(struct pm_capture *capture, int max, pm_frame_fn *frame, void *ctx,
			       struct pm_error *err);

static int result_of(long result)
{
	return result < 0 ? errno : 0;
}

static int try_open(const char *path, int flags)
{
	int fd = open(path, flags, 0600), result = result_of(fd);

	if (fd >= 0)
		close(fd);
	return result;
}

static int try_read(const char *path)
{
	return try_open(path, O_RDONLY);
}

static int try_write(const char *path)
{
	return try_open(path, O_WRONLY | O_CREAT);
}

static int try_remove(const char *path)
{
	return result_of(unlink(path));
}

static int try_socket(int family, int type, const struct sockaddr *address, socklen_t size)
{
	int fd = socket(family, type, 0), result = result_of(fd);

	if (fd < 0)
		return result;
	result = result_of(type == SOCK_STREAM ? connect(fd, address, size)
					       : sendto(fd, "x", 1, 0, address, size));
	close(fd);
	return result;
}

static int try_internet(const char *port, int type)
{
	struct sockaddr_in address = { .sin_family = AF_INET,
				       .sin_addr = { htonl(INADDR_LOOPBACK) },
				       .sin_port = htons((uint16_t)atoi(port)) };

	return try_socket(AF_INET, type, (const struct sockaddr *)&address, sizeof address);
}

static int try_connect(const char *port)
{
	return try_internet(port, SOCK_STREAM);
}

static int try_datagram(const char *port)
{
	return try_internet(port, SOCK_DGRAM);
}

static int try_unix(const char *path)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };

	snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
	return try_socket(AF_UNIX, SOCK_STREAM, (const struct sockaddr *)&address, sizeof address);
}

static int try_exec(const char *path)
{
	execl(path, path, (char *)NULL);
	return errno;
}

static int try_fork(const char *nothing)
{
	pid_t child = fork();
	int result = result_of(child);

	(void)nothing;
	if (child == 0)
		_exit(0);
	if (child > 0)
		waitpid(child, NULL, 0);
	return result;
}

static int try_code(const char *nothing)
{
	void *at = mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC,
			MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	(void)nothing;
	return at == MAP_FAILED ? errno : 0;
}

static int try_kill(const char *pid)
{
	return result_of(kill(atoi(pid), 0));
}

static int try_trace(const char *pid)
{
	return result_of(ptrace(PTRACE_ATTACH, atoi(pid), NULL, NULL));
}

static int try_root(const char *nothing)
{
	(void)nothing;
	return result_of(setuid(0));
}

static int try_keys(const char *path)
{
	int fd = path[0] ? open(path, O_RDWR) : STDIN_FILENO, result;

	result = fd < 0 ? errno : result_of(ioctl(fd, TIOCSTI, "x"));
	if (fd > STDIN_FILENO)
		close(fd);
	return result;
}

/* No intrusion, but what a fault might bring: the thread never goes on. */
static int try_hang(const char *nothing)
{
	(void)nothing;
	while (poll(NULL, 0, -1) <= 0)
		continue;
	return 0;
}

/* Neither: an interface that has come back is opened like this, and must be. */
static int try_capture(const char *interface)
{
	const struct pm_capture_options options = { .snaplen = 256 };
	struct pm_capture_counts counts;
	struct pm_capture *capture = NULL;
	int r = pm_capture_open_live(interface, &options, NULL, &capture);

	if (r == PM_OK)
		pm_capture_count(capture, 0, &counts);
	pm_capture_close(capture);
	if (r < 0)
		return EIO;
	return counts.received_known && counts.dropped_interface_known ? 0 : ENODATA;
}

static const struct {
	const char *name;
	int (*function)(const char *argument);
} actions[] = {
	{ "read", try_read },
	{ "write", try_write },
	{ "remove", try_remove },
	{ "connect", try_connect },
	{ "datagram", try_datagram },
	{ "unix", try_unix },
	{ "exec", try_exec },
	{ "fork", try_fork },
	{ "code", try_code },
	{ "kill", try_kill },
	{ "trace", try_trace },
	{ "root", try_root },
	{ "keys", try_keys },
	{ "capture", try_capture },
	{ "hang", try_hang },
};

static void inject(const char *point)
{
	const char *what = getenv("PORTMETER_INJECT"), *at = getenv("PORTMETER_INJECT_AT");
	const char *argument;
	char line[128];
	size_t length;
	int n;

	if (!what || (at && strcmp(at, point) != 0))
		return;
	length = strcspn(what, " ");
	argument = what + length + (what[length] == ' ');
	for (size_t i = 0; i < sizeof actions / sizeof *actions; i++) {
		if (strlen(actions[i].name) != length ||
		    strncmp(what, actions[i].name, length) != 0)
			continue;
		n = snprintf(line, sizeof line, "inject: %s: %d\n", point,
			     actions[i].function(argument));
		if (write(STDERR_FILENO, line, (size_t)n) < 0)
			_exit(99);
		return;
	}
	_exit(98); /* a test that asks for what is not there */
}

struct beginning {
	void *(*function)(void *ctx);
	void *ctx;
	int number;
};

static void *begin(void *ctx)
{
	struct beginning beginning = *(struct beginning *)ctx;
	char point[32];

	free(ctx);
	snprintf(point, sizeof point, "thread %d", beginning.number);
	inject(point);
	return beginning.function(beginning.ctx);
}

int __wrap_pthread_create(pthread_t *ret_thread, const pthread_attr_t *attributes,
			  void *(*function)(void *), void *ctx)
{
	static atomic_int started;
	struct beginning *beginning = malloc(sizeof *beginning);

	if (!beginning)
		return ENOMEM;
	*beginning = (struct beginning){ function, ctx, atomic_fetch_add(&started, 1) + 1 };
	return __real_pthread_create(ret_thread, attributes, begin, beginning);
}

bool __wrap_run_drop_privileges(struct run *run, bool by_name)
{
	bool done = __real_run_drop_privileges(run, by_name);

	if (done)
		inject("main");
	return done;
}

int __wrap_pm_capture_dispatch(struct pm_capture *capture, int max, pm_frame_fn *frame, void *ctx,
			       struct pm_error *err)
{
	static atomic_flag done = ATOMIC_FLAG_INIT;
	int n = __real_pm_capture_dispatch(capture, max, frame, ctx, err);

	if (n > 0 && !atomic_flag_test_and_set(&done))
		inject("frames");
	return n;
}
