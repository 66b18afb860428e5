/* SPDX-License-Identifier: MIT */
/* The address to listen on, and its socket. */
#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "web-internal.h"

#define BACKLOG 64
#define PORT_SIZE 8
#define ADDRESS_SIZE 80 /* an IPv6 address with its zone */

static bool is_loopback(const struct sockaddr_storage *address)
{
	struct sockaddr_in in;
	struct sockaddr_in6 in6;

	if (address->ss_family == AF_INET) {
		memcpy(&in, address, sizeof in);
		return ntohl(in.sin_addr.s_addr) >> 24 == 127;
	}
	memcpy(&in6, address, sizeof in6);
	return IN6_IS_ADDR_LOOPBACK(&in6.sin6_addr);
}

/* "[::1]:8080" as its two parts. A port alone is one of the loopback. */
static bool split(const char *text, char address[ADDRESS_SIZE], char port[PORT_SIZE])
{
	const char *colon = strrchr(text, ':');
	size_t length = colon ? (size_t)(colon - text) : 0;
	const char *digits = colon ? colon + 1 : text;

	if (strspn(digits, "0123456789") != strlen(digits) || !*digits ||
	    strlen(digits) >= PORT_SIZE)
		return false;
	snprintf(port, PORT_SIZE, "%s", digits);
	if (!colon) {
		snprintf(address, ADDRESS_SIZE, "127.0.0.1");
		return true;
	}
	if (text[0] == '[' && length > 2 && text[length - 1] == ']') {
		text++;
		length -= 2;
		if (!memchr(text, ':', length))
			return false;
	} else if (memchr(text, ':', length)) {
		return false; /* where the address ends can't be told */
	}
	/* A star is a loopback to glibc, and all addresses to everybody else. */
	if (length == 0 || length >= ADDRESS_SIZE || text[0] == '*')
		return false;
	memcpy(address, text, length);
	address[length] = '\0';
	if (strcmp(address, "localhost") == 0)
		snprintf(address, ADDRESS_SIZE, "127.0.0.1");
	return true;
}

static unsigned long port_number(const char *text)
{
	return strtoul(text, NULL, 10);
}

int pm_web_listen_parse(const char *text, struct pm_error *err, struct listen_address *ret_address)
{
	const struct addrinfo hints = {
		.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV,
		.ai_family = AF_UNSPEC,
		.ai_socktype = SOCK_STREAM,
	};
	char address[ADDRESS_SIZE], port[PORT_SIZE];
	struct addrinfo *found = NULL;

	if (!split(text, address, port) || port_number(port) > UINT16_MAX ||
	    getaddrinfo(address, port, &hints, &found) != 0)
		return pm_error_set(err, PM_E_INVALID, NULL, 0, 0,
				    "must be ADDRESS:PORT, such as 127.0.0.1:8080 or [::1]:8080");
	memset(ret_address, 0, sizeof *ret_address);
	memcpy(&ret_address->address, found->ai_addr, found->ai_addrlen);
	ret_address->length = found->ai_addrlen;
	ret_address->loopback = is_loopback(&ret_address->address);
	freeaddrinfo(found);
	return PM_OK;
}

static int failed(int fd, const struct listen_address *address, struct pm_error *err)
{
	int error = errno;
	char url[WEB_URL_SIZE];

	if (fd >= 0)
		close(fd);
	pm_web_listen_url(address, false, url);
	url[strlen(url) - 1] = '\0'; /* it is an address here, and no URL */
	return pm_error_set(err, error == EACCES || error == EPERM ? PM_E_PERMISSION : PM_E_IO,
			    NULL, 0, 0, "can't listen on %s: %s", url + strlen("http://"),
			    strerror(error));
}

int pm_web_listen_open(struct listen_address *address, struct pm_error *err, int *ret_fd)
{
	const struct sockaddr *at = (const void *)&address->address;
	struct sockaddr_storage bound;
	socklen_t length = sizeof bound;
	int yes = 1, no = 0, fd;

	fd = socket(at->sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return failed(fd, address, err);
	/* A restart must not wait for connections of the last run; [::] takes IPv4 as well. */
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
	if (at->sa_family == AF_INET6)
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &no, sizeof no);
	if (bind(fd, at, address->length) < 0 || listen(fd, BACKLOG) < 0 ||
	    getsockname(fd, (void *)&bound, &length) < 0)
		return failed(fd, address, err);
	address->address = bound;
	*ret_fd = fd;
	return PM_OK;
}

void pm_web_listen_url(const struct listen_address *address, bool tls, char ret_url[WEB_URL_SIZE])
{
	char host[ADDRESS_SIZE] = "?", port[PORT_SIZE] = "?";
	bool six = address->address.ss_family == AF_INET6;

	getnameinfo((const void *)&address->address, address->length, host, sizeof host, port,
		    sizeof port, NI_NUMERICHOST | NI_NUMERICSERV);
	snprintf(ret_url, WEB_URL_SIZE, "%s://%s%s%s:%s/", tls ? "https" : "http", six ? "[" : "",
		 host, six ? "]" : "", port);
}
