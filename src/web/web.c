/* SPDX-License-Identifier: MIT */
/*
 * The server: one thread, which sleeps until the library has something to do (epoll), a record has
 * come, or a second is over. All of the library's callbacks run on it.
 */
#include "server.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <unistd.h>

/* A request's head, and what the library needs beside it. */
#define CONNECTION_MEMORY ((size_t)16 << 10)
/* Without a byte in either direction, a connection ends. */
#define IDLE_S 30
/* However slowly bytes drip: the first request must be there, or the next. */
#define FIRST_NS (INT64_C(10) * PM_NS_PER_S)
#define NEXT_NS (INT64_C(60) * PM_NS_PER_S)
/* An answer other than events must be through by then. */
#define ANSWER_NS (INT64_C(600) * PM_NS_PER_S)
#define TICK_NS PM_NS_PER_S
/* How long watchers have to take the news that it ends. */
#define LAST_NS (PM_NS_PER_S / 4)
#define PEM_MAX ((size_t)1 << 20)

/* GnuTLS's priorities: no version that RFC 8996 has done away with. The library leaves it alone. */
static char ciphers[] = "NORMAL:-VERS-ALL:+VERS-TLS1.3:+VERS-TLS1.2";

bool pm_web_built(void)
{
	return true;
}

const char *pm_web_scheme(const struct pm_web *web)
{
	return web->certificate ? "https" : "http";
}

/* ---- connections --------------------------------------------------------------------------- */

struct client *pm_web_client(struct MHD_Connection *connection)
{
	const union MHD_ConnectionInfo *info =
		pm_mhd()->MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT);

	return info ? info->socket_context : NULL;
}

void pm_web_client_close(struct pm_web *web, struct client *client)
{
	if (client->closing)
		return;
	client->closing = true;
	web->counts.closed++;
	/* The library sees that its end has come, and frees it. */
	shutdown(client->fd, SHUT_RDWR);
}

static void client_begin(struct pm_web *web, struct MHD_Connection *connection, void **context)
{
	const union MHD_ConnectionInfo *info =
		pm_mhd()->MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
	struct client *client = calloc(1, sizeof *client);

	*context = client;
	if (!client)
		return; /* a request there is refused */
	client->fd = info ? info->connect_fd : -1;
	client->since_ns = pm_time_steady();
	client->link = &web->clients;
	client->next = web->clients;
	if (client->next)
		client->next->link = &client->next;
	web->clients = client;
	web->counts.connections++;
}

static void client_end(struct pm_web *web, struct client *client)
{
	if (!client)
		return;
	if (client->link) {
		*client->link = client->next;
		if (client->next)
			client->next->link = client->link;
		web->counts.connections--;
	}
	free(client);
}

static void on_connection(void *ctx, struct MHD_Connection *connection, void **context,
			  enum MHD_ConnectionNotificationCode what)
{
	if (what == MHD_CONNECTION_NOTIFY_STARTED)
		client_begin(ctx, connection, context);
	else
		client_end(ctx, *context);
}

/* A request has been answered, or its connection has ended. */
static void on_completed(void *ctx, struct MHD_Connection *connection, void **state,
			 enum MHD_RequestTerminationCode how)
{
	struct client *client = pm_web_client(connection);

	(void)ctx;
	(void)how;
	*state = NULL;
	if (!client)
		return;
	client->busy = false;
	client->served = true;
	client->since_ns = pm_time_steady();
}

/* The target as it was sent, before anything in it is decoded. */
static void *on_target(void *ctx, const char *target, struct MHD_Connection *connection)
{
	struct client *client = pm_web_client(connection);

	if (client)
		client->absolute =
			pm_web_target_host(target, pm_web_scheme(ctx), client->host);
	return NULL; /* so the request begins without a state */
}

static size_t on_unescape(void *ctx, struct MHD_Connection *connection, char *text)
{
	(void)ctx;
	(void)connection;
	return pm_web_unescape(text);
}

static bool is_too_slow(const struct client *client, int64_t now)
{
	int64_t limit = client->busy ? ANSWER_NS : client->served ? NEXT_NS
								  : FIRST_NS;

	/* Who watches may stay, as long as it takes what it is sent: the library sees to that. */
	return now - client->since_ns > limit && !pm_web_is_watcher(client);
}

static void close_slow(struct pm_web *web)
{
	int64_t now = pm_time_steady();

	for (struct client *client = web->clients; client; client = client->next)
		if (is_too_slow(client, now))
			pm_web_client_close(web, client);
}

/* ---- opening ------------------------------------------------------------------------------- */

static void on_log(void *ctx, const char *format, va_list args) PM_PRINTF(2, 0);

static void on_log(void *ctx, const char *format, va_list args)
{
	struct pm_web *web = ctx;

	if (!web->trouble[0])
		vsnprintf(web->trouble, sizeof web->trouble, format, args);
	web->trouble[strcspn(web->trouble, "\r\n")] = '\0';
}

static int add_name(struct host_names *names, const char *name)
{
	char **more = realloc(names->names, (names->n + 1) * sizeof *more);

	if (!more)
		return PM_E_MEMORY;
	names->names = more;
	more[names->n] = strdup(name);
	return more[names->n++] ? PM_OK : PM_E_MEMORY;
}

/* The machine's own name belongs to nobody else, and those that were given. */
static int add_names(struct pm_web *web, const struct pm_web_options *options)
{
	char own[256] = "";
	int r = PM_OK;

	if (gethostname(own, sizeof own - 1) == 0 && own[0])
		r = add_name(&web->names, own);
	for (size_t i = 0; i < options->n_hosts && r == PM_OK; i++)
		r = add_name(&web->names, options->hosts[i]);
	return r;
}

static int read_pem(const char *path, struct pm_error *err, char **ret_text)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	char *text;
	ssize_t n;

	if (fd < 0)
		return pm_error_set(err, PM_E_IO, path, 0, 0, "can't open: %s", strerror(errno));
	text = malloc(PEM_MAX);
	if (!text) {
		close(fd);
		return PM_E_MEMORY;
	}
	n = read(fd, text, PEM_MAX - 1);
	close(fd);
	if (n <= 0 || (size_t)n == PEM_MAX - 1) {
		free(text);
		return pm_error_set(err, PM_E_IO, path, 0, 0, "is no PEM file: %s",
				    n < 0 ? strerror(errno) : n == 0 ? "it is empty"
								     : "it is too long");
	}
	text[n] = '\0';
	*ret_text = text;
	return PM_OK;
}

static int open_tls(struct pm_web *web, const struct pm_web_options *options, struct pm_error *err)
{
	int r;

	if (!options->certificate_path)
		return PM_OK;
	if (pm_mhd()->MHD_is_feature_supported(MHD_FEATURE_TLS) != MHD_YES)
		return pm_error_set(err, PM_E_UNSUPPORTED, NULL, 0, 0,
				    "this libmicrohttpd was built without TLS");
	r = read_pem(options->certificate_path, err, &web->certificate);
	return r < 0 ? r : read_pem(options->key_path, err, &web->key);
}

/* Who could reach it, and whether that is meant. */
static int check_reach(const struct pm_web *web, const struct pm_web_options *options,
		       struct pm_error *err)
{
	if (web->address.loopback || options->anywhere || web->credentials)
		return PM_OK;
	return pm_error_set(err, PM_E_INVALID, NULL, 0, 0,
			    "others could read it there: use 127.0.0.1, ask for a password (--listen-password), or say --listen-public");
}

static int load_library(struct pm_error *err)
{
	const char *why;

	if (pm_mhd_load(&why))
		return PM_OK;
	return pm_error_set(err, PM_E_UNSUPPORTED, NULL, 0, 0,
			    "libmicrohttpd can't be loaded (%s); install what is missing", why);
}

static int open_parts(struct pm_web *web, const struct pm_web_options *options,
		      struct pm_error *err)
{
	int r = pm_web_listen_parse(options->listen, err, &web->address);

	if (r == PM_OK && options->password_path)
		r = pm_web_credentials_load(options->password_path, err, &web->credentials);
	if (r == PM_OK)
		r = check_reach(web, options, err);
	if (r == PM_OK)
		r = load_library(err);
	if (r == PM_OK)
		r = open_tls(web, options, err);
	if (r == PM_OK)
		r = add_names(web, options);
	if (r == PM_OK)
		r = pm_web_listen_open(&web->address, err, &web->fd);
	if (r < 0)
		return r;
	pm_web_listen_url(&web->address, web->certificate != NULL, web->url);
	web->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	return web->wake_fd >= 0 ? PM_OK
				 : pm_error_set(err, PM_E_IO, NULL, 0, 0, "no eventfd: %s",
						strerror(errno));
}

static int start_daemon(struct pm_web *web, struct pm_error *err)
{
	const unsigned idle = IDLE_S;
	struct MHD_OptionItem options[] = {
		{ MHD_OPTION_HTTPS_MEM_CERT, 0, web->certificate },
		{ MHD_OPTION_HTTPS_MEM_KEY, 0, web->key },
		{ MHD_OPTION_HTTPS_PRIORITIES, 0, ciphers },
		{ MHD_OPTION_END, 0, NULL },
	};
	unsigned flags = MHD_USE_EPOLL | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_ERROR_LOG;

	if (web->certificate)
		flags |= MHD_USE_TLS;
	else
		options[0].option = MHD_OPTION_END;
	if (web->address.address.ss_family == AF_INET6)
		flags |= MHD_USE_IPv6;
	/* clang-format off */
	web->daemon = pm_mhd()->MHD_start_daemon(flags, 0, NULL, NULL, pm_web_on_request, web,
		MHD_OPTION_EXTERNAL_LOGGER, on_log, web,
		MHD_OPTION_LISTEN_SOCKET, web->fd,
		MHD_OPTION_CONNECTION_LIMIT, web->options.connections,
		MHD_OPTION_PER_IP_CONNECTION_LIMIT, web->options.per_address,
		MHD_OPTION_CONNECTION_MEMORY_LIMIT, CONNECTION_MEMORY,
		MHD_OPTION_CONNECTION_TIMEOUT, idle,
		MHD_OPTION_NOTIFY_CONNECTION, on_connection, web,
		MHD_OPTION_NOTIFY_COMPLETED, on_completed, web,
		MHD_OPTION_URI_LOG_CALLBACK, on_target, web,
		MHD_OPTION_UNESCAPE_CALLBACK, on_unescape, NULL,
		MHD_OPTION_ARRAY, options,
		MHD_OPTION_END);
	/* clang-format on */
	web->fd = -1; /* it is the library's now, whatever has come of it */
	if (web->daemon)
		return PM_OK;
	/* It looks at the two only here, and does not say which files they are from. */
	if (web->certificate && strstr(web->trouble, "certificate"))
		return pm_error_set(err, PM_E_IO, web->options.certificate_path, 0, 0,
				    "no certificate in PEM, or %s is not its key: %s",
				    web->options.key_path, web->trouble);
	return pm_error_set(err, PM_E_IO, NULL, 0, 0, "can't serve HTTP: %s",
			    web->trouble[0] ? web->trouble : "out of memory");
}

static void make_etag(struct pm_web *web)
{
	uint8_t digest[PM_SHA256_SIZE];
	char hex[PM_SHA256_HEX_SIZE];
	struct pm_sha256 sha;

	pm_sha256_init(&sha);
	pm_sha256_update(&sha, web->options.schema, web->options.schema_size);
	pm_sha256_final(&sha, digest);
	pm_sha256_hex(digest, hex);
	snprintf(web->schema_etag, sizeof web->schema_etag, "\"%.16s\"", hex);
}

int pm_web_open(const struct pm_web_options *options, struct pm_error *err, struct pm_web **ret_web)
{
	struct pm_web *web = calloc(1, sizeof *web);
	int r;

	if (!web)
		return PM_E_MEMORY;
	web->options = *options;
	if (!web->options.connections)
		web->options.connections = PM_WEB_CONNECTIONS;
	if (!web->options.per_address)
		web->options.per_address = PM_WEB_PER_ADDRESS;
	web->fd = web->wake_fd = -1;
	web->run = pm_hash_key_random().k0;
	make_etag(web);
	r = pm_web_history_init(&web->history, options->history);
	if (r < 0) {
		free(web);
		return r;
	}
	r = open_parts(web, options, err);
	if (r == PM_OK)
		r = start_daemon(web, err);
	if (r < 0) {
		pm_web_close(web);
		return r;
	}
	*ret_web = web;
	return PM_OK;
}

const char *pm_web_url(const struct pm_web *web)
{
	return web->url;
}

bool pm_web_exposed(const struct pm_web *web)
{
	return web->credentials && !web->certificate && !web->address.loopback;
}

/* ---- the thread ---------------------------------------------------------------------------- */

static void wake(struct pm_web *web)
{
	uint64_t one = 1;

	/* It fails when it is woken already. */
	if (write(web->wake_fd, &one, sizeof one) < 0)
		return;
}

/* Whether somebody has woken it. */
static bool drain(struct pm_web *web)
{
	uint64_t times;

	return read(web->wake_fd, &times, sizeof times) > 0;
}

/* Milliseconds until the library, or a tick, is due. */
static int due_ms(struct pm_web *web, int64_t tick_ns)
{
	int64_t left = (tick_ns - pm_time_steady()) / (PM_NS_PER_S / 1000) + 1;
	MHD_UNSIGNED_LONG_LONG library;

	if (left < 0)
		left = 0;
	if (pm_mhd()->MHD_get_timeout(web->daemon, &library) == MHD_YES && library < (uint64_t)left)
		left = (int64_t)library;
	return (int)left;
}

static void sleep_until_due(struct pm_web *web, int64_t tick_ns)
{
	const union MHD_DaemonInfo *info =
		pm_mhd()->MHD_get_daemon_info(web->daemon, MHD_DAEMON_INFO_EPOLL_FD);
	struct pollfd fds[] = {
		{ .fd = info ? info->epoll_fd : -1, .events = POLLIN },
		{ .fd = web->wake_fd, .events = POLLIN },
	};

	poll(fds, 2, due_ms(web, tick_ns));
}

static void *serve(void *ctx)
{
	struct pm_web *web = ctx;
	int64_t tick_ns = pm_time_steady() + TICK_NS;

	/* Whoever looks at the threads (top -H) sees which one this is. */
	pthread_setname_np(pthread_self(), "portmeter-http");
	while (!atomic_load(&web->stop)) {
		bool woken;

		sleep_until_due(web, tick_ns);
		woken = drain(web);
		if (woken || pm_time_steady() >= tick_ns) {
			pm_web_streams_resume(web, woken);
			pm_web_streams_trim(web);
		}
		if (pm_time_steady() >= tick_ns) {
			close_slow(web);
			tick_ns = pm_time_steady() + TICK_NS;
		}
		pm_mhd()->MHD_run(web->daemon);
	}
	return NULL;
}

int pm_web_start(struct pm_web *web, struct pm_error *err)
{
	sigset_t all, before;
	int r;

	/* Signals are for the first thread. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	r = pthread_create(&web->thread, NULL, serve, web);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (r != 0)
		return pm_error_set(err, PM_E_IO, NULL, 0, 0, "can't start a thread: %s",
				    strerror(r));
	web->started = true;
	return PM_OK;
}

/* ---- what others tell it ------------------------------------------------------------------- */

int pm_web_source(struct pm_web *web, const char *name, bool live)
{
	return pm_web_history_source(&web->history, name, live) ? PM_OK : PM_E_MEMORY;
}

int pm_web_publish(struct pm_web *web, const char *source, bool live, int64_t time_ns, char *text,
		   size_t size)
{
	int r;

	while (size > 0 && text[size - 1] == '\n')
		size--;
	r = pm_web_history_add(&web->history, source, live, time_ns, text, size);
	wake(web);
	return r;
}

void pm_web_end(struct pm_web *web)
{
	pm_web_history_set_ended(&web->history);
	wake(web);
}

/* Watchers are told; who does not take it in time is cut off. */
static void say_goodbye(struct pm_web *web)
{
	int64_t end = pm_time_steady() + LAST_NS;

	pm_web_streams_resume(web, true);
	while (web->streams && pm_time_steady() < end) {
		pm_mhd()->MHD_run(web->daemon);
		sleep_until_due(web, pm_time_steady() + LAST_NS / 10);
		pm_web_streams_resume(web, true);
	}
}

void pm_web_close(struct pm_web *web)
{
	if (!web)
		return;
	atomic_store(&web->stop, true);
	if (web->started) {
		wake(web);
		pthread_join(web->thread, NULL);
		say_goodbye(web);
	}
	if (web->daemon)
		pm_mhd()->MHD_stop_daemon(web->daemon);
	else if (web->fd >= 0)
		close(web->fd);
	if (web->wake_fd >= 0)
		close(web->wake_fd);
	pm_web_history_fini(&web->history);
	pm_web_credentials_free(web->credentials);
	for (size_t i = 0; i < web->names.n; i++)
		free(web->names.names[i]);
	free(web->names.names);
	free(web->certificate);
	if (web->key)
		explicit_bzero(web->key, strlen(web->key));
	free(web->key);
	free(web);
}
