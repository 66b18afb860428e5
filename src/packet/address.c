/* SPDX-License-Identifier: MIT */
/* Addresses as text. */
#include <arpa/inet.h>

#include "portmeter/packet.h"

_Static_assert(PM_ADDRESS_TEXT_SIZE == INET6_ADDRSTRLEN, "room for every address");

void pm_address_text(int ip_version, const struct pm_address *address,
		     char ret_text[PM_ADDRESS_TEXT_SIZE])
{
	int family = ip_version == 4 ? AF_INET : AF_INET6;

	if ((ip_version != 4 && ip_version != 6) ||
	    !inet_ntop(family, address->bytes, ret_text, PM_ADDRESS_TEXT_SIZE))
		ret_text[0] = '\0';
}
