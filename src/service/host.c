/* SPDX-License-Identifier: MIT */
/* Addresses and subnets, as text and as bits. */
#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

#include "service-internal.h"

static unsigned version_bits(int version)
{
	return version == 4 ? 32 : 128;
}

bool pm_address_parse(const char *text, size_t size, int *ret_version,
		      struct pm_address *ret_address)
{
	struct pm_address address = { { 0 } };
	char copy[INET6_ADDRSTRLEN];
	int version;

	if (size >= sizeof copy || memchr(text, '\0', size))
		return false;
	memcpy(copy, text, size);
	copy[size] = '\0';
	version = strchr(copy, ':') ? 6 : 4;
	if (inet_pton(version == 4 ? AF_INET : AF_INET6, copy, address.bytes) != 1)
		return false;
	*ret_version = version;
	*ret_address = address;
	return true;
}

struct pm_address pm_address_mask(const struct pm_address *address, unsigned prefix)
{
	struct pm_address masked = { { 0 } };
	unsigned whole = prefix / 8;

	memcpy(masked.bytes, address->bytes, whole);
	if (prefix % 8)
		masked.bytes[whole] = (uint8_t)(address->bytes[whole] & ~(0xffu >> prefix % 8));
	return masked;
}

/* One to three digits. */
static bool prefix_parse(const char *text, size_t size, unsigned limit, unsigned *ret_prefix)
{
	unsigned value = 0;

	if (size < 1 || size > 3)
		return false;
	for (size_t i = 0; i < size; i++) {
		if (text[i] < '0' || text[i] > '9')
			return false;
		value = value * 10 + (unsigned)(text[i] - '0');
	}
	*ret_prefix = value;
	return value <= limit;
}

bool pm_host_parse(const char *text, size_t size, struct pm_host *ret_host, bool *ret_masked)
{
	const char *slash = size ? memchr(text, '/', size) : NULL;
	size_t length = slash ? (size_t)(slash - text) : size;
	struct pm_address address, masked;
	unsigned prefix;
	int version;

	if (!pm_address_parse(text, length, &version, &address))
		return false;
	prefix = version_bits(version);
	if (slash && !prefix_parse(slash + 1, size - length - 1, prefix, &prefix))
		return false;
	masked = pm_address_mask(&address, prefix);
	*ret_masked = memcmp(&masked, &address, sizeof masked) != 0;
	*ret_host = (struct pm_host){ masked, (uint8_t)version, (uint8_t)prefix };
	return true;
}

void pm_host_text(const struct pm_host *host, char ret_text[PM_HOST_TEXT_SIZE])
{
	char address[INET6_ADDRSTRLEN];

	if (!inet_ntop(host->version == 4 ? AF_INET : AF_INET6, host->address.bytes, address,
		       sizeof address))
		address[0] = '\0';
	snprintf(ret_text, PM_HOST_TEXT_SIZE, "%s/%u", address, host->prefix);
}

bool pm_host_holds(const struct pm_host *host, int version, const struct pm_address *address)
{
	struct pm_address masked;

	if (host->version != version)
		return false;
	masked = pm_address_mask(address, host->prefix);
	return memcmp(&masked, &host->address, sizeof masked) == 0;
}
