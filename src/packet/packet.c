/* SPDX-License-Identifier: MIT */
/*
 * The one place where a number becomes a decoder. A protocol is a row here and a function
 * in its own file; no decoder calls another, one bounded loop calls them all.
 */
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "packet-internal.h"

#define COUNT(array) (sizeof(array) / sizeof *(array))

struct pm_link {
	uint32_t number; /* LINKTYPE_ */
	const char *name;
	pm_decode_fn *fn;
};

/* In the order of their numbers. What is not here carries no IP that could be told. */
static const struct pm_link links[] = {
	{ 0, "NULL", pm_decode_loopback },
	{ 1, "EN10MB", pm_decode_ethernet },
	{ 3, "AX25", pm_decode_ax25 },
	{ 6, "IEEE802", pm_decode_token_ring },
	{ 7, "ARCNET", pm_decode_arcnet },
	{ 8, "SLIP", pm_decode_slip },
	{ 9, "PPP", pm_decode_ppp },
	{ 10, "FDDI", pm_decode_fddi },
	{ 11, "ATM_RFC1483", pm_decode_atm }, /* as 12, a DLT_ of most systems that old files bear */
	{ 12, "RAW", pm_decode_raw },
	{ 14, "RAW", pm_decode_raw }, /* DLT_RAW of OpenBSD */
	{ 19, "ATM_CLIP", pm_decode_atm_clip },
	{ 50, "PPP_SERIAL", pm_decode_ppp_serial },
	{ 51, "PPP_ETHER", pm_decode_pppoe },
	{ 100, "ATM_RFC1483", pm_decode_atm },
	{ 101, "RAW", pm_decode_raw },
	{ 102, "SLIP_BSDOS", pm_decode_slip_bsdos },
	{ 104, "C_HDLC", pm_decode_cisco_hdlc },
	{ 105, "IEEE802_11", pm_decode_wifi },
	{ 106, "ATM_CLIP", pm_decode_atm_clip },
	{ 107, "FRELAY", pm_decode_frame_relay },
	{ 108, "LOOP", pm_decode_loopback },
	{ 109, "ENC", pm_decode_enc },
	{ 112, "LANE8023", pm_decode_lane },
	{ 113, "LINUX_SLL", pm_decode_sll },
	{ 117, "PFLOG", pm_decode_pflog },
	{ 119, "PRISM_HEADER", pm_decode_prism },
	{ 122, "IP_OVER_FC", pm_decode_fibre_channel_ip },
	{ 123, "SUNATM", pm_decode_sunatm },
	{ 127, "IEEE802_11_RADIO", pm_decode_radiotap },
	{ 129, "ARCNET_LINUX", pm_decode_arcnet_linux },
	{ 130, "JUNIPER_MLPPP", pm_decode_juniper_other },
	{ 131, "JUNIPER_MLFR", pm_decode_juniper_other },
	{ 132, "JUNIPER_ES", pm_decode_juniper_other },
	{ 133, "JUNIPER_GGSN", pm_decode_juniper_other },
	{ 134, "JUNIPER_MFR", pm_decode_juniper_other },
	{ 135, "JUNIPER_ATM2", pm_decode_juniper_other },
	{ 136, "JUNIPER_SERVICES", pm_decode_juniper_other },
	{ 137, "JUNIPER_ATM1", pm_decode_juniper_other },
	{ 138, "APPLE_IP_OVER_IEEE1394", pm_decode_ieee1394 },
	{ 143, "DOCSIS", pm_decode_docsis },
	{ 163, "IEEE802_11_RADIO_AVS", pm_decode_avs },
	{ 164, "JUNIPER_MONITOR", pm_decode_juniper_other },
	{ 166, "PPP_PPPD", pm_decode_ppp_pppd },
	{ 167, "JUNIPER_PPPOE", pm_decode_juniper_ethernet },
	{ 168, "JUNIPER_PPPOE_ATM", pm_decode_juniper_other },
	{ 174, "JUNIPER_PIC_PEER", pm_decode_juniper_other },
	{ 175, "ERF_ETH", pm_decode_erf },
	{ 176, "ERF_POS", pm_decode_erf },
	{ 178, "JUNIPER_ETHER", pm_decode_juniper_ethernet },
	{ 179, "JUNIPER_PPP", pm_decode_juniper_ppp },
	{ 180, "JUNIPER_FRELAY", pm_decode_juniper_frame_relay },
	{ 181, "JUNIPER_CHDLC", pm_decode_juniper_hdlc },
	{ 182, "MFR", pm_decode_multilink },
	{ 183, "JUNIPER_VP", pm_decode_juniper_other },
	{ 192, "PPI", pm_decode_ppi },
	{ 194, "JUNIPER_ISM", pm_decode_juniper_other },
	{ 197, "ERF", pm_decode_erf },
	{ 200, "JUNIPER_ST", pm_decode_juniper_other },
	{ 202, "AX25_KISS", pm_decode_ax25_kiss },
	{ 204, "PPP_WITH_DIR", pm_decode_ppp_directed },
	{ 205, "C_HDLC_WITH_DIR", pm_decode_cisco_hdlc_directed },
	{ 206, "FRELAY_WITH_DIR", pm_decode_frame_relay_directed },
	{ 219, "MPLS", pm_decode_mpls },
	{ 224, "FC_2", pm_decode_fibre_channel },
	{ 225, "FC_2_WITH_FRAME_DELIMS", pm_decode_fibre_channel_delimited },
	{ 226, "IPNET", pm_decode_ipnet },
	{ 228, "IPV4", pm_decode_ipv4 },
	{ 229, "IPV6", pm_decode_ipv6 },
	{ 239, "NFLOG", pm_decode_nflog },
	{ 240, "NETANALYZER", pm_decode_netanalyzer },
	{ 241, "NETANALYZER_TRANSPARENT", pm_decode_netanalyzer_transparent },
	{ 242, "IPOIB", pm_decode_ipoib },
	{ 258, "PKTAP", pm_decode_pktap },
	{ 259, "EPON", pm_decode_epon },
	{ 274, "ETHERNET_MPACKET", pm_decode_mpacket },
	{ 276, "LINUX_SLL2", pm_decode_sll2 },
	{ 281, "DSA_TAG_BRCM", pm_decode_switch_4 },
	{ 282, "DSA_TAG_BRCM_PREPEND", pm_decode_switch_prepended },
	{ 284, "DSA_TAG_DSA", pm_decode_switch_4 },
	{ 285, "DSA_TAG_EDSA", pm_decode_switch_8 },
};

const struct pm_link *const pm_link_ethernet = &links[1];

struct row {
	uint16_t id;
	pm_decode_fn *fn;
};

/* The commonest come first, since the search is linear. What is not here carries no IP. */
static const struct row ethertypes[] = {
	{ PM_ETHERTYPE_IP4, pm_decode_ipv4 },
	{ PM_ETHERTYPE_IP6, pm_decode_ipv6 },
	{ PM_ETHERTYPE_VLAN, pm_decode_vlan }, /* 802.1Q */
	{ 0x88a8, pm_decode_vlan }, /* 802.1ad */
	{ PM_ETHERTYPE_MPLS, pm_decode_mpls },
	{ 0x8848, pm_decode_mpls }, /* upstream-assigned labels, once multicast */
	{ 0x8864, pm_decode_pppoe },
	{ PM_ETHERTYPE_PPP, pm_decode_ppp },
	{ PM_ETHERTYPE_LLC, pm_decode_llc },
	{ 0x9100, pm_decode_vlan }, /* stacked tags from before 802.1ad */
	{ 0x9200, pm_decode_vlan },
	{ 0x9300, pm_decode_vlan },
	{ PM_ETHERTYPE_BRIDGED, pm_decode_ethernet },
	{ 0x88e7, pm_decode_itag }, /* 802.1ah: MAC in MAC */
	{ 0x88e5, pm_decode_macsec },
	{ 0x894f, pm_decode_nsh },
	{ 0x893f, pm_decode_etag },       /* 802.1BR */
	{ 0x8926, pm_decode_six },        /* VN-Tag */
	{ 0xf1c1, pm_decode_six },        /* R-TAG of 802.1CB */
	{ 0x892f, pm_decode_six },        /* HSR */
	{ 0x22f3, pm_decode_trill },      /* its routing has a type of its own */
	{ 0x8903, pm_decode_fabricpath }, /* Cisco */
	{ 0x8909, pm_decode_cmd },        /* Cisco MetaData */
	{ 0xd28b, pm_decode_avsp },       /* Arista */
	{ 0xdada, pm_decode_edsa },       /* Linux's choice for Marvell switches */
	{ 0x4305, pm_decode_batman },     /* batman-adv */
};

/* What ISL carries: Ethernet; not token ring (1), FDDI (2), ATM (3). */
static const struct row isl_types[] = {
	{ 0, pm_decode_isl },
};

static const struct row nsh_protocols[] = {
	{ 1, pm_decode_ipv4 },
	{ 2, pm_decode_ipv6 },
	{ 3, pm_decode_ethernet },
	{ 4, pm_decode_nsh },
	{ 5, pm_decode_mpls },
};

static const struct row wifi_parts[] = {
	{ PM_WIFI_PADDED, pm_decode_wifi_padded },
	{ PM_WIFI_SWAPPED, pm_decode_wifi_swapped },
	{ PM_WIFI_MESH, pm_decode_wifi_mesh },
	{ PM_WIFI_AGGREGATE, pm_decode_wifi_aggregate },
	{ PM_WIFI_MESH_AGGREGATE, pm_decode_wifi_mesh_aggregate },
};

/* Types of the channel beside a pseudowire or label; most are about the path itself. */
static const struct row channels[] = {
	{ 0x0021, pm_decode_ipv4 },
	{ 0x0057, pm_decode_ipv6 },
};

static const struct row ppp_protocols[] = {
	{ 0x0021, pm_decode_ipv4 },
	{ 0x0057, pm_decode_ipv6 },
	{ 0x0031, pm_decode_ppp_bridged },
	{ 0x003d, pm_decode_ppp_multilink },
	{ 0x0281, pm_decode_mpls },
	{ 0x0283, pm_decode_mpls },
};

/* AF_INET is 2 everywhere; for AF_INET6 each system took the next number that was free. */
static const struct row families[] = {
	{ 2, pm_decode_ipv4 },
	{ 10, pm_decode_ipv6 }, /* Linux */
	{ 24, pm_decode_ipv6 }, /* NetBSD, OpenBSD */
	{ 28, pm_decode_ipv6 }, /* FreeBSD, DragonFly */
	{ 30, pm_decode_ipv6 }, /* Darwin */
};

static const struct row versions[] = {
	{ 4, pm_decode_ipv4 },
	{ 6, pm_decode_ipv6 },
};

/*
 * IP protocols are direct: every frame with ports passes here. What has a decoder carries ports
 * or may hide them, what has none is a protocol without ports. ESP (50) and IPComp (108) hide
 * theirs for good.
 */
static pm_decode_fn *const ip4_protocols[256] = {
	[6] = pm_decode_tcp,
	[17] = pm_decode_udp,
	[33] = pm_decode_dccp,
	[51] = pm_decode_ah4,
	[132] = pm_decode_sctp,
	[136] = pm_decode_udplite,
};

static pm_decode_fn *const ip6_protocols[256] = {
	[0] = pm_decode_ipv6_extension, /* hop-by-hop options */
	[6] = pm_decode_tcp,
	[17] = pm_decode_udp,
	[33] = pm_decode_dccp,
	[43] = pm_decode_ipv6_extension, /* routing */
	[44] = pm_decode_ipv6_fragment,
	[51] = pm_decode_ah6,
	[60] = pm_decode_ipv6_extension, /* destination options */
	[132] = pm_decode_sctp,
	[135] = pm_decode_ipv6_extension, /* mobility, RFC 6275 */
	[136] = pm_decode_udplite,
	[139] = pm_decode_ipv6_extension, /* HIP, RFC 7401 */
	[140] = pm_decode_ipv6_extension, /* shim6, RFC 5533 */
};

/* What is without ports by itself may hold another packet. Read only where the inner one counts. */
static pm_decode_fn *const tunnel_protocols[256] = {
	[4] = pm_decode_ipv4,  /* RFC 2003, 2473 */
	[41] = pm_decode_ipv6, /* RFC 4213, 2473; 6to4 (RFC 3056) too */
	[47] = pm_decode_gre,
	[94] = pm_decode_ipv4, /* IPIP of KA9Q */
	[97] = pm_decode_etherip,
	[103] = pm_decode_pim,
	[115] = pm_decode_l2tp_ip,
	[137] = pm_decode_mpls,     /* RFC 4023 */
	[143] = pm_decode_ethernet, /* RFC 8986 */
};

/* GRE's types that are no ethertypes, or mean something else there. */
static const struct row gre_types[] = {
	{ 0x88be, pm_decode_erspan },   /* II */
	{ 0x22eb, pm_decode_erspan },   /* III */
	{ 0x6400, pm_decode_ethernet }, /* MikroTik's Ethernet over IP */
	{ 0x6559, pm_decode_frame_relay },
	{ 0x883e, pm_decode_wccp },
	{ 0x8909, pm_decode_gre_cmd }, /* elsewhere its type stands last */
};

/* Next protocols of VXLAN-GPE; 5 is from its drafts before NSH. */
static const struct row gpe_protocols[] = {
	{ 1, pm_decode_ipv4 },
	{ 2, pm_decode_ipv6 },
	{ 3, pm_decode_ethernet },
	{ 4, pm_decode_nsh },
	{ 5, pm_decode_mpls },
};

static const char *const transport_names[] = {
	[PM_TRANSPORT_TCP] = "tcp",
	[PM_TRANSPORT_UDP] = "udp",
	[PM_TRANSPORT_UDPLITE] = "udplite",
	[PM_TRANSPORT_SCTP] = "sctp",
	[PM_TRANSPORT_DCCP] = "dccp",
};
_Static_assert(COUNT(transport_names) == PM_TRANSPORT_N, "every transport has a name");

static const char *const verdict_names[] = {
	[PM_VERDICT_PORTS] = "ports",
	[PM_VERDICT_NON_IP] = "non_ip",
	[PM_VERDICT_NO_PORTS_PROTOCOL] = "no_ports_protocol",
	[PM_VERDICT_FRAGMENT] = "fragment_orphan",
	[PM_VERDICT_HEADER_TRUNCATED] = "header_truncated",
	[PM_VERDICT_MALFORMED] = "malformed",
};
_Static_assert(COUNT(verdict_names) == PM_VERDICT_N, "every verdict has a name");

const char *pm_transport_name(enum pm_transport transport)
{
	return (unsigned)transport < PM_TRANSPORT_N ? transport_names[transport] : "?";
}

bool pm_transport_find(const char *name, size_t size, enum pm_transport *ret_transport)
{
	for (size_t i = 0; i < PM_TRANSPORT_N; i++) {
		if (strlen(transport_names[i]) == size &&
		    strncasecmp(transport_names[i], name, size) == 0) {
			*ret_transport = (enum pm_transport)i;
			return true;
		}
	}
	return false;
}

const char *pm_verdict_name(enum pm_verdict verdict)
{
	return (unsigned)verdict < PM_VERDICT_N ? verdict_names[verdict] : "?";
}

static int by_number(const void *key, const void *link)
{
	uint32_t number = *(const uint32_t *)key, other = ((const struct pm_link *)link)->number;

	return (number > other) - (number < other);
}

const struct pm_link *pm_link_find(uint32_t linktype)
{
	return bsearch(&linktype, links, COUNT(links), sizeof *links, by_number);
}

const struct pm_link *pm_link_at(size_t index)
{
	return index < COUNT(links) ? &links[index] : NULL;
}

uint32_t pm_link_number(const struct pm_link *link)
{
	return link->number;
}

const char *pm_link_name(const struct pm_link *link)
{
	return link->name;
}

static inline struct pm_step search(struct pm_packet *packet, const struct row *rows, size_t n,
				    uint16_t id)
{
	for (size_t i = 0; i < n; i++)
		if (rows[i].id == id)
			return (struct pm_step){ rows[i].fn };
	return pm_end(packet, PM_VERDICT_NON_IP);
}

struct pm_step pm_next_ethertype(struct pm_packet *packet, uint16_t type)
{
	return search(packet, ethertypes, COUNT(ethertypes), type);
}

struct pm_step pm_next_ppp(struct pm_packet *packet, uint16_t protocol)
{
	return search(packet, ppp_protocols, COUNT(ppp_protocols), protocol);
}

struct pm_step pm_next_link(struct pm_packet *packet, uint32_t linktype)
{
	const struct pm_link *link = pm_link_find(linktype);

	return link ? (struct pm_step){ link->fn } : pm_end(packet, PM_VERDICT_NON_IP);
}

struct pm_step pm_next_family(struct pm_packet *packet, uint16_t family)
{
	return search(packet, families, COUNT(families), family);
}

struct pm_step pm_next_version(struct pm_packet *packet, uint8_t nibble)
{
	return search(packet, versions, COUNT(versions), nibble);
}

struct pm_step pm_next_isl(struct pm_packet *packet, uint8_t type)
{
	return search(packet, isl_types, COUNT(isl_types), type);
}

struct pm_step pm_next_nsh(struct pm_packet *packet, uint8_t protocol)
{
	return search(packet, nsh_protocols, COUNT(nsh_protocols), protocol);
}

struct pm_step pm_next_wifi(struct pm_packet *packet, uint16_t part)
{
	return search(packet, wifi_parts, COUNT(wifi_parts), part);
}

struct pm_step pm_next_channel(struct pm_packet *packet, uint16_t type)
{
	return search(packet, channels, COUNT(channels), type);
}

struct pm_step pm_next_gre(struct pm_packet *packet, uint16_t type)
{
	struct pm_step step = search(packet, gre_types, COUNT(gre_types), type);

	return step.fn ? step : pm_next_ethertype(packet, type);
}

struct pm_step pm_next_gpe(struct pm_packet *packet, uint8_t protocol)
{
	return search(packet, gpe_protocols, COUNT(gpe_protocols), protocol);
}

struct pm_step pm_next_tunnel(struct pm_packet *packet, uint8_t protocol)
{
	pm_decode_fn *fn = tunnel_protocols[protocol];

	return fn ? (struct pm_step){ fn } : pm_end(packet, PM_VERDICT_NON_IP);
}

static inline struct pm_step protocol_step(struct pm_packet *packet, pm_decode_fn *fn)
{
	return fn ? (struct pm_step){ fn } : pm_end(packet, PM_VERDICT_NO_PORTS_PROTOCOL);
}

struct pm_step pm_next_ip4(struct pm_packet *packet, uint8_t protocol)
{
	return protocol_step(packet, ip4_protocols[protocol]);
}

struct pm_step pm_next_ip6(struct pm_packet *packet, uint8_t header)
{
	return protocol_step(packet, ip6_protocols[header]);
}

struct pm_step pm_end_later4(struct pm_packet *packet, uint8_t protocol)
{
	return pm_end(packet, ip4_protocols[protocol] ? PM_VERDICT_FRAGMENT
						      : PM_VERDICT_NO_PORTS_PROTOCOL);
}

struct pm_step pm_end_later6(struct pm_packet *packet, uint8_t header)
{
	return pm_end(packet, ip6_protocols[header] ? PM_VERDICT_FRAGMENT
						    : PM_VERDICT_NO_PORTS_PROTOCOL);
}

pm_decode_fn *pm_decode_on(struct pm_cursor *c, struct pm_packet *packet, struct pm_step step,
			   int *layers)
{
	pm_decode_fn *last = NULL;

	for (; step.fn; ++*layers) {
		last = step.fn;
		step = *layers < PM_MAX_LAYERS ? step.fn(c, packet)
					       : pm_end(packet, PM_VERDICT_MALFORMED);
	}
	return last;
}

struct pm_step pm_step_link(struct pm_packet *packet, const struct pm_link *link)
{
	return link ? (struct pm_step){ link->fn } : pm_end(packet, PM_VERDICT_NON_IP);
}

void pm_packet_decode(const struct pm_link *link, const uint8_t *bytes, size_t held, size_t wire,
		      struct pm_packet *ret_packet)
{
	struct pm_cursor c = pm_cursor_init(bytes, held, wire);
	int layers = 0;

	*ret_packet = (struct pm_packet){ 0 };
	pm_decode_on(&c, ret_packet, pm_step_link(ret_packet, link), &layers);
}
