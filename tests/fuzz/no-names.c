/* SPDX-License-Identifier: MIT */
/*
 * Stands before the system's look-ups of names, which a filter may cause: no name server is asked,
 * whatever an input says, and every name is unknown. Numbers are numbers all the same.
 */
#include <net/ethernet.h>
#include <netdb.h>
#include <stddef.h>

#define SHOWN __attribute__((visibility("default")))

SHOWN int getaddrinfo(const char *node, const char *service, const struct addrinfo *hints,
		      struct addrinfo **ret_list);
SHOWN struct netent *getnetbyname(const char *name);
SHOWN struct protoent *getprotobyname(const char *name);
SHOWN int ether_hostton(const char *name, struct ether_addr *ret_address);

int getaddrinfo(const char *node, const char *service, const struct addrinfo *hints,
		struct addrinfo **ret_list)
{
	(void)node;
	(void)service;
	(void)hints;
	(void)ret_list;
	return EAI_NONAME;
}

struct netent *getnetbyname(const char *name)
{
	(void)name;
	return NULL;
}

struct protoent *getprotobyname(const char *name)
{
	(void)name;
	return NULL;
}

int ether_hostton(const char *name, struct ether_addr *ret_address)
{
	(void)name;
	(void)ret_address;
	return -1;
}
