/* SPDX-License-Identifier: MIT */
/*
 * What the decoders share. A decoder reads one header, fills the packet and says what follows;
 * none knows or calls another: packet.c turns numbers into decoders, and its loop calls them.
 */
#ifndef PORTMETER_PACKET_INTERNAL_H
#define PORTMETER_PACKET_INTERNAL_H

#include <stdint.h>

#include "portmeter/packet.h"

/*
 * Headers in one frame, the link's included: a tag, a label and an extension header are one each.
 * Real stacks stay below a dozen; a chain of nothing but headers must not cost time.
 */
#define PM_MAX_LAYERS 32

/*
 * What comes after a header: the decoder of the next one, or NULL at the end, when packet->verdict
 * says what the frame was. A struct, since C has no name for a function that returns its like.
 */
struct pm_step;
typedef struct pm_step pm_decode_fn(struct pm_cursor *c, struct pm_packet *packet);

struct pm_step {
	pm_decode_fn *fn;
};

/* From a number to its decoder, one for each number space. The end, if it has none. */
struct pm_step pm_next_ethertype(struct pm_packet *packet, uint16_t type);
struct pm_step pm_next_ppp(struct pm_packet *packet, uint16_t protocol);
struct pm_step pm_next_family(struct pm_packet *packet, uint16_t family); /* of BSD loopbacks */
struct pm_step pm_next_version(struct pm_packet *packet, uint8_t nibble);
struct pm_step pm_next_ip4(struct pm_packet *packet, uint8_t protocol);
struct pm_step pm_next_ip6(struct pm_packet *packet, uint8_t header);
struct pm_step pm_next_link(struct pm_packet *packet, uint32_t linktype);
struct pm_step pm_step_link(struct pm_packet *packet, const struct pm_link *link); /* NULL: end */
struct pm_step pm_next_isl(struct pm_packet *packet, uint8_t type);
struct pm_step pm_next_nsh(struct pm_packet *packet, uint8_t protocol);
struct pm_step pm_next_wifi(struct pm_packet *packet, uint16_t part); /* enum pm_wifi */
struct pm_step pm_next_channel(struct pm_packet *packet, uint16_t type); /* beside MPLS */
/* The IP protocols that are tunnels; the end for all others. */
struct pm_step pm_next_tunnel(struct pm_packet *packet, uint8_t protocol);
struct pm_step pm_next_gre(struct pm_packet *packet, uint16_t type);
struct pm_step pm_next_gpe(struct pm_packet *packet, uint8_t protocol);

/* The end at a later fragment: FRAGMENT only where the number has a decoder, so may have ports. */
struct pm_step pm_end_later4(struct pm_packet *packet, uint8_t protocol);
struct pm_step pm_end_later6(struct pm_packet *packet, uint8_t header);

/*
 * Decodes on from @step to the verdict, @layers counting what has been decoded of this frame.
 * Returns the decoder that gave it.
 */
pm_decode_fn *pm_decode_on(struct pm_cursor *c, struct pm_packet *packet, struct pm_step step,
			   int *layers);

static inline struct pm_step pm_end(struct pm_packet *packet, enum pm_verdict verdict)
{
	packet->verdict = (uint8_t)verdict;
	return (struct pm_step){ NULL };
}

/* The end where a take has failed: the capture was cut, or the frame is too short for itself. */
static inline struct pm_step pm_end_short_ip(struct pm_packet *packet, const struct pm_cursor *c)
{
	return pm_end(packet, c->status == PM_READ_TRUNCATED ? PM_VERDICT_HEADER_TRUNCATED
							     : PM_VERDICT_MALFORMED);
}

/*
 * The same for headers that may stand before IP. A frame that ends on the wire before anything in
 * it has announced IP has no IP layer, which is no contradiction: runts are not malformed.
 */
static inline struct pm_step pm_end_short(struct pm_packet *packet, const struct pm_cursor *c)
{
	if (c->status == PM_READ_MALFORMED && packet->ip_version == 0)
		return pm_end(packet, PM_VERDICT_NON_IP);
	return pm_end_short_ip(packet, c);
}

/* IP without a field that says which: the first nibble does. */
static inline struct pm_step pm_next_by_nibble(struct pm_cursor *c, struct pm_packet *packet)
{
	const uint8_t *first = pm_cursor_peek(c, 0, 1);

	if (!first) {
		pm_cursor_take(c, 1);
		return pm_end_short(packet, c);
	}
	return pm_next_version(packet, first[0] >> 4);
}

/* Cuts @c to the @n bytes that a length field declares, or notes that they are not there. */
static inline void pm_limit(struct pm_cursor *c, struct pm_packet *packet, size_t n)
{
	if (n != c->wire && !pm_cursor_limit(c, n))
		packet->notes |= PM_NOTE_LENGTH;
}

/* Ethertypes that decoders hand on; the table in packet.c has the others. */
enum {
	PM_ETHERTYPE_IP4 = 0x0800,
	PM_ETHERTYPE_VLAN = 0x8100,
	PM_ETHERTYPE_IP6 = 0x86dd,
	PM_ETHERTYPE_PPP = 0x880b,
	PM_ETHERTYPE_MPLS = 0x8847,
	PM_ETHERTYPE_LLC = 0x8870,     /* meant for jumbo frames, which have no length field */
	PM_ETHERTYPE_BRIDGED = 0x6558, /* a whole Ethernet frame */
};

/* Link types that stand in others; the table in packet.c has the rest. */
enum {
	PM_LINKTYPE_ETHERNET = 1,
	PM_LINKTYPE_AX25 = 3,
	PM_LINKTYPE_PPP_SERIAL = 50,
	PM_LINKTYPE_ATM = 100,
	PM_LINKTYPE_CISCO_HDLC = 104,
	PM_LINKTYPE_WIFI = 105,
	PM_LINKTYPE_FRAME_RELAY = 107,
	PM_LINKTYPE_LANE = 112,
	PM_LINKTYPE_WIFI_PRISM = 119,
	PM_LINKTYPE_IP_OVER_FC = 122,
	PM_LINKTYPE_WIFI_RADIOTAP = 127,
	PM_LINKTYPE_WIFI_AVS = 163,
	PM_LINKTYPE_FC2 = 224,
};

/*
 * Parts of an 802.11 frame that only its header tells, a frame with padding behind it, and one
 * whose frame control has its bytes in the other order.
 */
enum pm_wifi {
	PM_WIFI_PADDED,
	PM_WIFI_SWAPPED,
	PM_WIFI_MESH,
	PM_WIFI_AGGREGATE,
	PM_WIFI_MESH_AGGREGATE,
};

/* The two bytes behind addresses or a tag: up to 1500 a length, else a type. None is below 1536. */
static inline struct pm_step pm_next_type_or_length(struct pm_cursor *c, struct pm_packet *packet,
						    uint16_t value)
{
	if (value > 1500)
		return pm_next_ethertype(packet, value);
	pm_limit(c, packet, value);
	return pm_next_ethertype(packet, PM_ETHERTYPE_LLC);
}

/* A header of @size bytes of no interest, then an Ethernet frame. */
static inline struct pm_step pm_before_frame(struct pm_cursor *c, struct pm_packet *packet,
					     size_t size)
{
	if (!pm_cursor_take(c, size))
		return pm_end_short(packet, c);
	return pm_next_ethertype(packet, PM_ETHERTYPE_BRIDGED);
}

/* packet.c: the row of Ethernet, for which common.c knows a short cut. */
extern const struct pm_link *const pm_link_ethernet;

/*
 * ethernet.c: whether @offset bytes from here stands the header of an Ethernet frame that leads
 * on to IP, for what nothing announces. It takes PM_ETHERNET_TELLS bytes to say so.
 */
bool pm_ethernet_at(const struct pm_cursor *c, struct pm_packet *packet, size_t offset);
#define PM_ETHERNET_TELLS 17

/* ethernet.c */
pm_decode_fn pm_decode_ethernet;
pm_decode_fn pm_decode_vlan;
pm_decode_fn pm_decode_llc;

/* mpls.c */
pm_decode_fn pm_decode_mpls;

/* tags.c */
pm_decode_fn pm_decode_isl;
pm_decode_fn pm_decode_itag;
pm_decode_fn pm_decode_six; /* redundancy and interface tags of six bytes, all alike */
pm_decode_fn pm_decode_etag;
pm_decode_fn pm_decode_cmd;
pm_decode_fn pm_decode_edsa;
pm_decode_fn pm_decode_macsec;
pm_decode_fn pm_decode_fabricpath;
pm_decode_fn pm_decode_trill;
pm_decode_fn pm_decode_nsh;
pm_decode_fn pm_decode_avsp;
pm_decode_fn pm_decode_batman;

/* ppp.c */
pm_decode_fn pm_decode_ppp;
pm_decode_fn pm_decode_ppp_bridged;
pm_decode_fn pm_decode_ppp_multilink;
pm_decode_fn pm_decode_ppp_serial;
pm_decode_fn pm_decode_ppp_directed;
pm_decode_fn pm_decode_ppp_pppd;
pm_decode_fn pm_decode_pppoe;

/* link.c */
pm_decode_fn pm_decode_loopback;
pm_decode_fn pm_decode_raw;
pm_decode_fn pm_decode_sll;
pm_decode_fn pm_decode_sll2;

/* lan.c */
pm_decode_fn pm_decode_token_ring;
pm_decode_fn pm_decode_fddi;
pm_decode_fn pm_decode_arcnet;
pm_decode_fn pm_decode_arcnet_linux;
pm_decode_fn pm_decode_fibre_channel_ip;
pm_decode_fn pm_decode_fibre_channel;
pm_decode_fn pm_decode_fibre_channel_delimited;
pm_decode_fn pm_decode_ieee1394;
pm_decode_fn pm_decode_ipoib;

/* wan.c */
pm_decode_fn pm_decode_frame_relay;
pm_decode_fn pm_decode_frame_relay_directed;
pm_decode_fn pm_decode_multilink;
pm_decode_fn pm_decode_cisco_hdlc;
pm_decode_fn pm_decode_cisco_hdlc_directed;
pm_decode_fn pm_decode_atm;
pm_decode_fn pm_decode_atm_clip;
pm_decode_fn pm_decode_lane;
pm_decode_fn pm_decode_sunatm;
pm_decode_fn pm_decode_slip;
pm_decode_fn pm_decode_slip_bsdos;
pm_decode_fn pm_decode_ax25;
pm_decode_fn pm_decode_ax25_kiss;
pm_decode_fn pm_decode_docsis;
pm_decode_fn pm_decode_epon;

/* wrappers.c */
pm_decode_fn pm_decode_pktap;
pm_decode_fn pm_decode_nflog;
pm_decode_fn pm_decode_pflog;
pm_decode_fn pm_decode_enc;
pm_decode_fn pm_decode_ipnet;
pm_decode_fn pm_decode_netanalyzer;
pm_decode_fn pm_decode_netanalyzer_transparent;
pm_decode_fn pm_decode_mpacket;
pm_decode_fn pm_decode_switch_4;
pm_decode_fn pm_decode_switch_8;
pm_decode_fn pm_decode_switch_prepended;
pm_decode_fn pm_decode_erf;
pm_decode_fn pm_decode_juniper_ethernet;
pm_decode_fn pm_decode_juniper_ppp;
pm_decode_fn pm_decode_juniper_frame_relay;
pm_decode_fn pm_decode_juniper_hdlc;
pm_decode_fn pm_decode_juniper_other;

/* wifi.c */
pm_decode_fn pm_decode_wifi;
pm_decode_fn pm_decode_wifi_padded;
pm_decode_fn pm_decode_wifi_swapped;
pm_decode_fn pm_decode_wifi_mesh;
pm_decode_fn pm_decode_wifi_aggregate;
pm_decode_fn pm_decode_wifi_mesh_aggregate;
pm_decode_fn pm_decode_radiotap;
pm_decode_fn pm_decode_ppi;
pm_decode_fn pm_decode_prism;
pm_decode_fn pm_decode_avs;

/* ip.c */
pm_decode_fn pm_decode_ipv4;
pm_decode_fn pm_decode_ipv6;
pm_decode_fn pm_decode_ipv6_extension;
pm_decode_fn pm_decode_ipv6_fragment;
pm_decode_fn pm_decode_ah4;
pm_decode_fn pm_decode_ah6;

/* gre.c */
pm_decode_fn pm_decode_gre;
pm_decode_fn pm_decode_erspan;
pm_decode_fn pm_decode_wccp;
pm_decode_fn pm_decode_gre_cmd;

/* tunnels.c: those of an IP protocol, then those in UDP. */
pm_decode_fn pm_decode_etherip;
pm_decode_fn pm_decode_pim;
pm_decode_fn pm_decode_l2tp_ip;
pm_decode_fn pm_decode_l2tp;
pm_decode_fn pm_decode_vxlan;
pm_decode_fn pm_decode_vxlan_gpe;
pm_decode_fn pm_decode_geneve;
pm_decode_fn pm_decode_gtp;
pm_decode_fn pm_decode_teredo;
pm_decode_fn pm_decode_gue;
pm_decode_fn pm_decode_fou;
pm_decode_fn pm_decode_lisp;
pm_decode_fn pm_decode_lisp_control;
pm_decode_fn pm_decode_ayiya;
pm_decode_fn pm_decode_capwap;
pm_decode_fn pm_decode_tzsp;

/* transport.c */
pm_decode_fn pm_decode_tcp;
pm_decode_fn pm_decode_udp;
pm_decode_fn pm_decode_udplite;
pm_decode_fn pm_decode_sctp;
pm_decode_fn pm_decode_dccp;

#endif
