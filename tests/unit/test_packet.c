/* SPDX-License-Identifier: MIT */
/* Decoding: one row a claim, and what must hold for every row however it is cut or damaged. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "frames.h"
#include "portmeter/packet.h"

#define COUNT(array) (sizeof(array) / sizeof *(array))

/* LINKTYPE_ numbers. */
enum {
	NULLL = 0,
	ETHER = 1,
	AX25 = 3,
	TOKEN_RING = 6,
	ARCNET = 7,
	SLIP = 8,
	PPP = 9,
	FDDI = 10,
	RAW_12 = 12,
	RAW_14 = 14,
	PPP_SERIAL = 50,
	PPP_ETHER = 51,
	ATM = 100,
	RAW = 101,
	SLIP_BSDOS = 102,
	CISCO_HDLC = 104,
	WIFI = 105,
	ATM_CLIP = 106,
	FRAME_RELAY = 107,
	LOOP = 108,
	ENC = 109,
	LANE = 112,
	COOKED = 113,
	PFLOG = 117,
	WIFI_PRISM = 119,
	IP_OVER_FC = 122,
	SUNATM = 123,
	WIFI_RADIOTAP = 127,
	ARCNET_LINUX = 129,
	JUNIPER_ATM1 = 137,
	IEEE1394 = 138,
	DOCSIS = 143,
	WIFI_AVS = 163,
	PPP_PPPD = 166,
	JUNIPER_ETHER = 178,
	JUNIPER_PPP = 179,
	JUNIPER_FRELAY = 180,
	JUNIPER_CHDLC = 181,
	MULTILINK = 182,
	PPI = 192,
	ERF = 197,
	AX25_KISS = 202,
	PPP_DIRECTED = 204,
	CISCO_HDLC_DIRECTED = 205,
	FRAME_RELAY_DIRECTED = 206,
	MPLS = 219,
	FC_2 = 224,
	FC_2_DELIMITED = 225,
	IPNET = 226,
	IPV4 = 228,
	IPV6 = 229,
	NFLOG = 239,
	NETANALYZER = 240,
	NETANALYZER_TRANSPARENT = 241,
	IPOIB = 242,
	PKTAP = 258,
	EPON = 259,
	MPACKET = 274,
	COOKED_2 = 276,
	SWITCH_BRCM = 281,
	SWITCH_BRCM_PREPENDED = 282,
	SWITCH_DSA = 284,
	SWITCH_EDSA = 285,
	NO_LINK = 65535,
};

struct decode_case {
	const char *name;
	uint32_t link;
	const char *bytes;
	size_t size;
	size_t cut;  /* so many of the bytes are not captured */
	size_t more; /* so many bytes follow on the wire, not captured */
	enum pm_verdict verdict;
	uint8_t version, protocol;
	enum pm_transport transport;
	uint16_t src, dst;
	uint16_t vlan;
	uint8_t notes;
	uint8_t tcp_flags; /* not 0: they are held */
	uint32_t id;
};

/* Heads of link types. */
#define RING(control, source) "\x10" control MAC_SERVER source
#define RING_SOURCE_ROUTED "\x80\x00\x5e\x00\x53\x01"
#define SNAP_IP4 SNAP(OUI_ETHERTYPE, TYPE_IP4)
#define SNAP_IP6 SNAP(OUI_ETHERTYPE, TYPE_IP6)
#define FC_HEAD(type, df, count) \
	"\x04\x00\x00\x01\x00\x00\x00\x02" type "\x00\x00\x00\x01" df count \
	"\x00\x01\x00\x02\x00\x00\x00\x00"
#define FC_ADDRESSES "\x10\x00" MAC_SERVER "\x10\x00" MAC_CLIENT
#define ZEROS_4 "\x00\x00\x00\x00"
#define ZEROS_8 ZEROS_4 ZEROS_4
#define ZEROS_16 ZEROS_8 ZEROS_8
#define AX25_TO "\xa2\xa6\xa8\x40\x40\x40\x60"
#define AX25_FROM(last) "\xa4\xa6\xa8\x40\x40\x40" last
#define JUNIPER(flags) "\x4d\x47\x43" flags
#define NFLOG_HEAD(family) family "\x00\x00\x05"
#define NFLOG_PREFIX "\x0a\x00\x0a\x00\x64rop: \x00\x00"

/* 802.11: type and subtype, flags, addresses, sequence; three addresses, or four. */
#define WIFI_TO(type, flags, first, third, sequence) \
	type flags "\x2c\x00" first MAC_CLIENT third sequence
#define WIFI_3(type, flags) WIFI_TO(type, flags, MAC_STATION, MAC_SERVER, "\x70\x00")
#define WIFI_4(type) WIFI_3(type, "\x03") MAC_MESH
#define WIFI_GROUP(type) WIFI_TO(type, "\x02", MAC_MULTICAST, MAC_STATION, "\x70\x00")
#define MAC_STATION "\x00\x00\x5e\x00\x53\x03"
#define MAC_MESH "\x00\x00\x5e\x00\x53\x04"
#define DATA "\x08"
#define QOS_DATA "\x88"
#define QOS_NONE "\x00\x00"
#define QOS_MESH "\x00\x01"
#define QOS_AGGREGATE "\x80\x00"
#define MESH_CONTROL(flags) flags "\x1f\x01\x00\x00\x00"
#define SUBFRAME(length) MAC_SERVER MAC_CLIENT length
#define SUBFRAME_IP4_UDP SUBFRAME("\x00\x24") SNAP_IP4 IP4_UDP
#define SUBFRAME_ARP SUBFRAME("\x00\x08") SNAP(OUI_ETHERTYPE, TYPE_ARP)
#define WIFI_IP4_UDP WIFI_3(DATA, "\x01") SNAP_IP4 IP4_UDP
#define RADIOTAP(size, present) "\x00\x00" size "\x00" present
#define RADIOTAP_FLAGS(flags) RADIOTAP("\x09", "\x02\x00\x00\x00") flags
#define PPI_HEAD(flags, size, link) "\x00" flags size "\x00" link "\x00\x00\x00"
#define PPI_COMMON(flags) "\x02\x00\x14\x00" ZEROS_8 flags "\x00" ZEROS_8 "\x00\x00"
#define PRISM_REST ZEROS_16 ZEROS_16 ZEROS_16 ZEROS_16 ZEROS_16 ZEROS_16 ZEROS_16 ZEROS_16 ZEROS_8
#define AVS_SIZED(version, size) "\x80\x21\x10" version "\x00\x00\x00" size
#define AVS_HEAD AVS_SIZED("\x01", "\x40") ZEROS_16 ZEROS_16 ZEROS_16 ZEROS_8
#define HARDWARE_WIFI "\x03\x21"
#define HARDWARE_PRISM "\x03\x22"
#define HARDWARE_RADIOTAP "\x03\x23"

#define CASE(name, link, bytes, ...) \
	{ \
		name, link, bytes, sizeof(bytes) - 1, __VA_ARGS__ \
	}
#define NON_IP .verdict = PM_VERDICT_NON_IP
#define PORTS(ip, number, which, to) \
	.verdict = PM_VERDICT_PORTS, .version = (ip), .protocol = (number), \
	.transport = PM_TRANSPORT_##which, .src = 49152, .dst = (to)
#define A_UDP(ip) PORTS(ip, 17, UDP, 53)
#define A_TCP(ip) PORTS(ip, 6, TCP, 443), .tcp_flags = PM_TCP_SYN
#define A_TCP_CUT(ip) PORTS(ip, 6, TCP, 443)
#define NO_PORTS(ip, number) \
	.verdict = PM_VERDICT_NO_PORTS_PROTOCOL, .version = (ip), .protocol = (number)
#define LATER(ip, number) \
	.verdict = PM_VERDICT_FRAGMENT, .version = (ip), .protocol = (number), \
	.notes = PM_NOTE_LATER_FRAGMENT
#define LATER_WITHOUT(ip, number) NO_PORTS(ip, number), .notes = PM_NOTE_LATER_FRAGMENT
#define TRUNCATED(ip, number) \
	.verdict = PM_VERDICT_HEADER_TRUNCATED, .version = (ip), .protocol = (number)
#define MALFORMED(ip, number) .verdict = PM_VERDICT_MALFORMED, .version = (ip), .protocol = (number)

static const struct decode_case cases[] = {
	/* Transports. */
	CASE("tcp in ipv4 on ethernet", ETHER, ETH(TYPE_IP4) IP4_TCP, A_TCP(4)),
	CASE("udp in ipv4 on ethernet", ETHER, ETH(TYPE_IP4) IP4_UDP, A_UDP(4)),
	CASE("tcp in ipv6 on ethernet", ETHER, ETH(TYPE_IP6) IP6_TCP, A_TCP(6)),
	CASE("udp in ipv6 on ethernet", ETHER, ETH(TYPE_IP6) IP6_UDP, A_UDP(6)),
	CASE("udp-lite in ipv4", IPV4, IP4("\x00\x1c", UDPLITE_NUMBER) UDPLITE,
	     PORTS(4, 136, UDPLITE, 53)),
	CASE("udp-lite in ipv6", IPV6, IP6("\x00\x08", UDPLITE_NUMBER) UDPLITE,
	     PORTS(6, 136, UDPLITE, 53)),
	CASE("sctp in ipv4", IPV4, IP4("\x00\x20", SCTP_NUMBER) SCTP, PORTS(4, 132, SCTP, 2905)),
	CASE("sctp in ipv6", IPV6, IP6("\x00\x0c", SCTP_NUMBER) SCTP, PORTS(6, 132, SCTP, 2905)),
	CASE("dccp in ipv4", IPV4, IP4("\x00\x24", DCCP_NUMBER) DCCP, PORTS(4, 33, DCCP, 5201)),
	CASE("dccp in ipv6", IPV6, IP6("\x00\x10", DCCP_NUMBER) DCCP, PORTS(6, 33, DCCP, 5201)),
	CASE("tcp flags are kept whole", IPV4, IP4("\x00\x28", TCP_NUMBER) TCP_FLAGS("\xff"),
	     PORTS(4, 6, TCP, 443), .tcp_flags = 0xff),
	CASE("tcp flags need byte 13 captured", IPV4, IP4_TCP, A_TCP_CUT(4), .cut = 7),
	CASE("tcp flags need no more than byte 13", IPV4, IP4_TCP, A_TCP(4), .cut = 6),
	CASE("tcp flags are not read behind the total length", IPV4,
	     IP4("\x00\x21", TCP_NUMBER) TCP, A_TCP_CUT(4)),
	CASE("ports of tcp are enough", IPV4, IP4_TCP, A_TCP_CUT(4), .cut = 16),
	CASE("three bytes of tcp are not enough", IPV4, IP4_TCP, TRUNCATED(4, 6), .cut = 17),
	CASE("ports of udp are enough", IPV6, IP6_UDP, A_UDP(6), .cut = 4),
	CASE("three bytes of udp are not enough", IPV6, IP6_UDP, TRUNCATED(6, 17), .cut = 5),
	CASE("a udp length of nonsense does not matter", IPV4,
	     IP4("\x00\x1c", UDP_NUMBER) "\xc0\x00\x00\x35\x00\x01\x00\x00", A_UDP(4)),
	CASE("a tcp header size of nonsense does not matter", IPV4,
	     IP4("\x00\x24", TCP_NUMBER) "\xc0\x00\x01\xbb\x00\x00\x00\x01\x00\x00\x00\x00\x00\x02\x00\x00",
	     A_TCP(4)),
	CASE("port zero is read as it stands", IPV4,
	     IP4("\x00\x1c", UDP_NUMBER) "\x00\x00\x00\x00\x00\x08\x00\x00",
	     .verdict = PM_VERDICT_PORTS, .version = 4, .protocol = 17,
	     .transport = PM_TRANSPORT_UDP),

	/* Ethernet, LLC, SNAP. */
	CASE("arp is not ip", ETHER, ETH(TYPE_ARP) "\x00\x01", NON_IP),
	CASE("lldp is not ip", ETHER, ETH("\x88\xcc") "\x02\x07", NON_IP),
	CASE("an unknown ethertype is not ip", ETHER, ETH("\x12\x34") IP4_UDP, NON_IP),
	CASE("an ethernet header alone can be told", ETHER, ETH(TYPE_ARP), NON_IP),
	CASE("a runt has no ip layer", ETHER, MAC_SERVER MAC_CLIENT "\x08", NON_IP),
	CASE("a captured part of a header is truncated", ETHER, ETH(TYPE_IP4) IP4_UDP, TRUNCATED(0, 0),
	     .cut = 29),
	CASE("an empty frame has no ip layer", ETHER, "", NON_IP),
	CASE("a link type without a row is not ip", NO_LINK, IP4_UDP, NON_IP),
	CASE("1501 is neither length nor type", ETHER, ETH("\x05\xdd") LLC_IP IP4_UDP, NON_IP),
	CASE("1535 is neither length nor type", ETHER, ETH("\x05\xff") LLC_IP IP4_UDP, NON_IP),
	CASE("1536 is a type", ETHER, ETH("\x06\x00") LLC_IP IP4_UDP, NON_IP),
	CASE("1500 is a length", ETHER, ETH("\x05\xdc") LLC_IP IP4_UDP, A_UDP(4),
	     .notes = PM_NOTE_LENGTH),
	CASE("ip in llc", ETHER, ETH("\x00\x1f") LLC_IP IP4_UDP, A_UDP(4)),
	CASE("ip in llc ends at the length field", ETHER, ETH("\x00\x1a") LLC_IP IP4_UDP, MALFORMED(4, 17),
	     .notes = PM_NOTE_LENGTH),
	CASE("ip in llc only as unnumbered information", ETHER, ETH("\x00\x1f") "\x06\x06\xaf" IP4_UDP,
	     NON_IP),
	CASE("ip in llc at both access points", ETHER, ETH("\x00\x1f") "\x06\x42\x03" IP4_UDP, NON_IP),
	CASE("ipv4 in snap", ETHER, ETH("\x00\x24") SNAP(OUI_ETHERTYPE, TYPE_IP4) IP4_UDP, A_UDP(4)),
	CASE("ipv6 in snap", ETHER, ETH("\x00\x38") SNAP(OUI_ETHERTYPE, TYPE_IP6) IP6_UDP, A_UDP(6)),
	CASE("ipv4 in 802.1h snap", ETHER, ETH("\x00\x24") SNAP("\x00\x00\xf8", TYPE_IP4) IP4_UDP,
	     A_UDP(4)),
	CASE("snap of another organisation is not ip", ETHER,
	     ETH("\x00\x24") SNAP("\x00\x00\x0c", TYPE_IP4) IP4_UDP, NON_IP),
	CASE("snap only as unnumbered information", ETHER,
	     ETH("\x00\x24") "\xaa\xaa\xaf" OUI_ETHERTYPE TYPE_IP4 IP4_UDP, NON_IP),
	CASE("snap at both access points", ETHER,
	     ETH("\x00\x24") "\xaa\x42\x03" OUI_ETHERTYPE TYPE_IP4 IP4_UDP, NON_IP),
	CASE("arp in snap is not ip", ETHER, ETH("\x00\x08") SNAP(OUI_ETHERTYPE, TYPE_ARP), NON_IP),
	CASE("spanning tree is not ip", ETHER, ETH("\x00\x04") "\x42\x42\x03\x00", NON_IP),
	CASE("raw 802.3 of novell is not ip", ETHER, ETH("\x00\x04") "\xff\xff\x00\x22", NON_IP),
	CASE("padding is not llc", ETHER, ETH("\x00\x02") LLC_IP IP4_UDP, NON_IP),
	CASE("padding is not snap", ETHER, ETH("\x00\x07") SNAP(OUI_ETHERTYPE, TYPE_IP4) IP4_UDP,
	     NON_IP),
	CASE("llc in a jumbo frame", ETHER, ETH(TYPE_LLC_JUMBO) LLC_IP IP4_UDP, A_UDP(4)),

	/* Tags and labels. */
	CASE("802.1q", ETHER, ETH(TYPE_VLAN) TAG("\x00\x05", TYPE_IP4) IP4_UDP, A_UDP(4), .vlan = 5),
	CASE("802.1q with priority bits", ETHER, ETH(TYPE_VLAN) TAG("\xff\xfe", TYPE_IP6) IP6_TCP, A_TCP(6),
	     .vlan = 4094),
	CASE("802.1ad gives the outer id", ETHER,
	     ETH(TYPE_SVLAN) TAG("\x00\x07", TYPE_VLAN) TAG("\x00\x09", TYPE_IP4) IP4_UDP, A_UDP(4),
	     .vlan = 7),
	CASE("a tag of 9100", ETHER, ETH("\x91\x00") TAG("\x00\x05", TYPE_IP4) IP4_UDP, A_UDP(4), .vlan = 5),
	CASE("a tag of 9200", ETHER, ETH("\x92\x00") TAG("\x00\x05", TYPE_IP4) IP4_UDP, A_UDP(4), .vlan = 5),
	CASE("a tag of 9300", ETHER, ETH("\x93\x00") TAG("\x00\x05", TYPE_IP4) IP4_UDP, A_UDP(4), .vlan = 5),
	CASE("a priority tag names no vlan", ETHER,
	     ETH(TYPE_VLAN) TAG("\xe0\x00", TYPE_VLAN) TAG("\x00\x09", TYPE_IP4) IP4_UDP, A_UDP(4),
	     .vlan = 9),
	CASE("a tag before a length field", ETHER, ETH(TYPE_VLAN) TAG("\x00\x05", "\x00\x1f") LLC_IP IP4_UDP,
	     A_UDP(4), .vlan = 5),
	CASE("a tag before neither length nor type", ETHER,
	     ETH(TYPE_VLAN) TAG("\x00\x05", "\x05\xdd") LLC_IP IP4_UDP, NON_IP, .vlan = 5),
	CASE("a tag before arp", ETHER, ETH(TYPE_VLAN) TAG("\x00\x05", TYPE_ARP), NON_IP, .vlan = 5),
	CASE("half a tag announces no ip", ETHER, ETH(TYPE_VLAN) "\x00\x05", NON_IP),
	CASE("ipv4 under one label", ETHER, ETH(TYPE_MPLS) LABEL_BOTTOM IP4_UDP, A_UDP(4)),
	CASE("ipv6 under three labels", ETHER, ETH(TYPE_MPLS) LABEL LABEL LABEL_BOTTOM IP6_TCP, A_TCP(6)),
	CASE("a label of 8848", ETHER, ETH("\x88\x48") LABEL_BOTTOM IP4_UDP, A_UDP(4)),
	CASE("a label behind a tag", ETHER, ETH(TYPE_VLAN) TAG("\x00\x05", TYPE_MPLS) LABEL_BOTTOM IP4_UDP,
	     A_UDP(4), .vlan = 5),
	CASE("a pseudowire is not ip", ETHER, ETH(TYPE_MPLS) LABEL_BOTTOM "\x00\x00\x00\x00" IP4_UDP, NON_IP),
	CASE("version 5 under a label is not ip", ETHER, ETH(TYPE_MPLS) LABEL_BOTTOM "\x55\x00\x00\x1c", NON_IP),
	CASE("a label with nothing under it announces no ip", ETHER, ETH(TYPE_MPLS) LABEL_BOTTOM, NON_IP),
	CASE("labels without a bottom announce no ip", ETHER, ETH(TYPE_MPLS) LABEL LABEL LABEL, NON_IP),
	CASE("labels without a bottom in a short capture", ETHER,
	     ETH(TYPE_MPLS) LABELS_5 LABELS_5 LABELS_5 LABELS_5,
	     TRUNCATED(0, 0), .cut = 6),

	/* PPP and PPPoE. */
	CASE("ppp with address and control", PPP, "\xff\x03" PPP_IP4 IP4_UDP, A_UDP(4)),
	CASE("ppp without address and control", PPP, PPP_IP4 IP4_UDP, A_UDP(4)),
	CASE("ppp with ipv6", PPP, PPP_IP6 IP6_UDP, A_UDP(6)),
	CASE("ppp with a one-byte protocol", PPP, "\x21" IP4_UDP, A_UDP(4)),
	CASE("ppp with address and a one-byte protocol", PPP, "\xff\x03\x57" IP6_UDP, A_UDP(6)),
	CASE("ppp with labels", PPP, "\x02\x81" LABEL_BOTTOM IP4_UDP, A_UDP(4)),
	CASE("ppp with labels, multicast", PPP, "\x02\x83" LABEL LABEL_BOTTOM IP6_UDP, A_UDP(6)),
	CASE("ppp control is not ip", PPP, "\xff\x03\xc0\x21\x01\x01\x00\x04", NON_IP),
	CASE("ppp address without control is not ip", PPP, "\xff\x21" PPP_IP4 IP4_UDP, NON_IP),
	CASE("half a ppp protocol announces no ip", PPP, "\xff\x03\x00", NON_IP),
	CASE("ppp on a serial line", PPP_SERIAL, "\xff\x03" PPP_IP4 IP4_UDP, A_UDP(4)),
	CASE("ppp on a serial line, compressed", PPP_SERIAL, "\x21" IP4_UDP, A_UDP(4)),
	CASE("cisco hdlc unicast", PPP_SERIAL, "\x0f\x00" TYPE_IP4 IP4_UDP, A_UDP(4)),
	CASE("cisco hdlc broadcast", PPP_SERIAL, "\x8f\x00" TYPE_IP6 IP6_TCP, A_TCP(6)),
	CASE("cisco keepalives are not ip", PPP_SERIAL, "\x8f\x00\x80\x35\x00\x00", NON_IP),
	CASE("half a cisco header announces no ip", PPP_SERIAL, "\x0f\x00\x08", NON_IP),
	CASE("pppoe by itself", PPP_ETHER, PPPOE("\x00\x1e") PPP_IP4 IP4_UDP, A_UDP(4)),
	CASE("pppoe in ethernet", ETHER, ETH(TYPE_PPPOE) PPPOE("\x00\x32") PPP_IP6 IP6_UDP, A_UDP(6)),
	CASE("pppoe ends at its length", ETHER, ETH(TYPE_PPPOE) PPPOE("\x00\x19") PPP_IP4 IP4_UDP,
	     MALFORMED(4, 17), .notes = PM_NOTE_LENGTH),
	CASE("pppoe of length zero announces no ip", ETHER, ETH(TYPE_PPPOE) PPPOE("\x00\x00") PPP_IP4 IP4_UDP,
	     NON_IP),
	CASE("a pppoe length beyond the frame is noted", ETHER,
	     ETH(TYPE_PPPOE) PPPOE("\x00\x1f") PPP_IP4 IP4_UDP, A_UDP(4), .notes = PM_NOTE_LENGTH),
	CASE("pppoe discovery is not ip", ETHER, ETH("\x88\x63") "\x11\x09\x00\x00\x00\x00", NON_IP),
	CASE("pppoe discovery among sessions is not ip", ETHER,
	     ETH(TYPE_PPPOE) "\x11\xa7\x00\x01\x00\x1e" PPP_IP4 IP4_UDP, NON_IP),

	/* Other local networks. */
	CASE("token ring", TOKEN_RING, RING("\x40", MAC_CLIENT) SNAP_IP4 IP4_UDP, A_UDP(4)),
	CASE("token ring by a route", TOKEN_RING,
	     RING("\x40", RING_SOURCE_ROUTED) "\x06\x30\x00\x11\x00\x20" SNAP_IP6 IP6_TCP, A_TCP(6)),
	CASE("frames of the ring itself are not ip", TOKEN_RING, RING("\x00", MAC_CLIENT) SNAP_IP4 IP4_UDP,
	     NON_IP),
	CASE("fddi", FDDI, "\x51" MAC_SERVER MAC_CLIENT SNAP_IP4 IP4_TCP, A_TCP(4)),
	CASE("fddi, multicast", FDDI, "\xd4" MAC_MULTICAST MAC_CLIENT SNAP_IP4 IP4_UDP, A_UDP(4),
	     .notes = PM_NOTE_GROUP),
	CASE("fddi station management is not ip", FDDI, "\x41" MAC_SERVER MAC_CLIENT SNAP_IP4 IP4_UDP, NON_IP),
	CASE("fddi with short addresses is not ip", FDDI, "\x11" MAC_SERVER MAC_CLIENT SNAP_IP4 IP4_UDP, NON_IP),
	CASE("arcnet, rfc 1201", ARCNET, "\x01\x02\xd4" "\x00\x00\x07" IP4_UDP, A_UDP(4)),
	CASE("arcnet, rfc 1201, padded", ARCNET, "\x01\x02\xd4" "\xff\xff\xff\xd4\x00\x00\x07" IP4_UDP, A_UDP(4)),
	CASE("arcnet, first part of three", ARCNET, "\x01\x02\xd4" "\x03\x00\x07" IP4_UDP, A_UDP(4)),
	CASE("arcnet, later part", ARCNET, "\x01\x02\xd4" "\x02\x00\x07" IP4_UDP, NON_IP),
	CASE("arcnet, ipv6", ARCNET, "\x01\x02\xc4" "\x00\x00\x07" IP6_UDP, A_UDP(6)),
	CASE("arcnet, rfc 1051, broadcast", ARCNET, "\x01\x00\xf0" IP4_UDP, A_UDP(4), .notes = PM_NOTE_GROUP),
	CASE("arcnet arp is not ip", ARCNET, "\x01\x00\xd5" "\x00\x00\x07" IP4_UDP, NON_IP,
	     .notes = PM_NOTE_GROUP),
	CASE("arcnet of linux", ARCNET_LINUX, "\x01\x02\x00\x00\xd4" "\x00\x00\x07" IP4_UDP, A_UDP(4)),
	CASE("ip over fibre channel", IP_OVER_FC, FC_ADDRESSES SNAP_IP4 IP4_UDP, A_UDP(4)),
	CASE("fibre channel", FC_2, FC_HEAD("\x05", "\x20", "\x00\x00") FC_ADDRESSES SNAP_IP4 IP4_UDP, A_UDP(4)),
	CASE("fibre channel without network header", FC_2, FC_HEAD("\x05", "\x00", "\x00\x00") SNAP_IP4 IP4_UDP,
	     A_UDP(4)),
	CASE("fibre channel, delimited", FC_2_DELIMITED,
	     "\xbc\xb5\x55\x55" FC_HEAD("\x05", "\x00", "\x00\x00") SNAP_IP6 IP6_UDP, A_UDP(6)),
	CASE("fibre channel, later frame of a sequence", FC_2, FC_HEAD("\x05", "\x00", "\x00\x01") SNAP_IP4 IP4_UDP,
	     NON_IP),
	CASE("scsi over fibre channel is not ip", FC_2, FC_HEAD("\x08", "\x00", "\x00\x00") SNAP_IP4 IP4_UDP, NON_IP),
	CASE("ieee 1394", IEEE1394, "\x00\x00" MAC_SERVER "\x00\x00" MAC_CLIENT TYPE_IP4 IP4_UDP, A_UDP(4)),
	CASE("infiniband", IPOIB, ZEROS_16 ZEROS_16 ZEROS_8 TYPE_IP6 "\x00\x00" IP6_UDP, A_UDP(6)),

	/* Wireless. */
	CASE("802.11 to an access point", WIFI, WIFI_3(DATA, "\x01") SNAP_IP4 IP4_UDP, A_UDP(4)),
	CASE("802.11 from an access point", WIFI, WIFI_3(DATA, "\x02") SNAP_IP6 IP6_TCP, A_TCP(6)),
	CASE("802.11 between stations", WIFI, WIFI_3(DATA, "\x00") SNAP_IP4 IP4_UDP, A_UDP(4)),
	CASE("802.11 with four addresses", WIFI, WIFI_4(DATA) SNAP_IP4 IP4_UDP, A_UDP(4)),
	CASE("802.11 with an acknowledgement", WIFI, WIFI_3("\x18", "\x02") SNAP_IP4 IP4_UDP, A_UDP(4)),
	CASE("802.11 with ip in llc", WIFI, WIFI_3(DATA, "\x01") LLC_IP IP4_UDP, A_UDP(4)),
	CASE("802.11 with an ethertype at once", WIFI, WIFI_3(DATA, "\x00") TYPE_IP6 IP6_UDP, A_UDP(6)),
	CASE("802.11 with a tag at once", WIFI, WIFI_3(DATA, "\x00") TYPE_VLAN TAG("\x00\x05", TYPE_IP4) IP4_UDP,
	     A_UDP(4), .vlan = 5),
	CASE("802.11 with a tag in snap", WIFI,
	     WIFI_3(DATA, "\x01") SNAP(OUI_ETHERTYPE, TYPE_VLAN) TAG("\x00\x05", TYPE_IP4) IP4_UDP, A_UDP(4),
	     .vlan = 5),
	CASE("802.11 arp is not ip", WIFI, WIFI_3(DATA, "\x01") SNAP(OUI_ETHERTYPE, TYPE_ARP) "\x00\x01", NON_IP),
	CASE("802.11 without data", WIFI, WIFI_3("\x48", "\x01") SNAP_IP4 IP4_UDP, NON_IP),
	CASE("802.11 with quality of service and no data", WIFI,
	     WIFI_3("\xc8", "\x01") QOS_NONE SNAP_IP4 IP4_UDP, NON_IP),
	CASE("802.11 management", WIFI, WIFI_3("\x80", "\x00") SNAP_IP4 IP4_UDP, NON_IP),
	CASE("802.11 control", WIFI, "\xd4\x00\x00\x00" MAC_CLIENT, NON_IP),
	CASE("802.11 extension", WIFI, WIFI_3("\x0c", "\x01") SNAP_IP4 IP4_UDP, NON_IP),
	CASE("802.11 of version 1", WIFI, WIFI_3("\x09", "\x01") SNAP_IP4 IP4_UDP, NON_IP),
	CASE("802.11 protected", WIFI, WIFI_3(DATA, "\x41") SNAP_IP4 IP4_UDP, NON_IP),
	CASE("802.11 first fragment", WIFI,
	     WIFI_TO(DATA, "\x05", MAC_STATION, MAC_SERVER, "\x70\x00") SNAP_IP4 IP4_UDP, A_UDP(4)),
	CASE("802.11 later fragment", WIFI,
	     WIFI_TO(DATA, "\x05", MAC_STATION, MAC_SERVER, "\x71\x00") SNAP_IP4 IP4_UDP, NON_IP),
	CASE("802.11 ninth fragment", WIFI,
	     WIFI_TO(DATA, "\x05", MAC_STATION, MAC_SERVER, "\x78\x00") SNAP_IP4 IP4_UDP, NON_IP),
	CASE("802.11 last of sixteen fragments", WIFI,
	     WIFI_TO(DATA, "\x01", MAC_STATION, MAC_SERVER, "\x7f\x00") SNAP_IP4 IP4_UDP, NON_IP),
	CASE("802.11 sequence numbers make no fragment", WIFI,
	     WIFI_TO(DATA, "\x01", MAC_STATION, MAC_SERVER, "\xf0\xff") SNAP_IP4 IP4_UDP, A_UDP(4)),
	CASE("half an 802.11 header announces no ip", WIFI, DATA "\x01\x2c\x00" MAC_STATION, NON_IP),
	CASE("half an 802.11 header captured is truncated", WIFI, WIFI_IP4_UDP, TRUNCATED(0, 0), .cut = 37),
	CASE("802.11 to a group", WIFI, WIFI_GROUP(DATA) SNAP_IP4 IP4_UDP, A_UDP(4), .notes = PM_NOTE_GROUP),
	CASE("802.11 to a group through an access point", WIFI,
	     WIFI_TO(DATA, "\x01", MAC_STATION, MAC_MULTICAST, "\x70\x00") SNAP_IP4 IP4_UDP, A_UDP(4),
	     .notes = PM_NOTE_GROUP),
	CASE("802.11 from a group's sender goes to no group", WIFI,
	     WIFI_TO(DATA, "\x02", MAC_STATION, MAC_MULTICAST, "\x70\x00") SNAP_IP4 IP4_UDP, A_UDP(4)),
	CASE("802.11 to a group over four addresses", WIFI,
	     WIFI_TO(DATA, "\x03", MAC_STATION, MAC_MULTICAST, "\x70\x00") MAC_MESH SNAP_IP4 IP4_UDP, A_UDP(4),
	     .notes = PM_NOTE_GROUP),
	CASE("802.11 with quality of service", WIFI, WIFI_3(QOS_DATA, "\x01") "\x06\x00" SNAP_IP4 IP4_UDP,
	     A_UDP(4)),
	CASE("802.11 with quality of service and four addresses", WIFI,
	     WIFI_4(QOS_DATA) QOS_NONE SNAP_IP4 IP4_UDP, A_UDP(4)),
	CASE("802.11 with quality of service and ip in llc", WIFI,
	     WIFI_3(QOS_DATA, "\x01") QOS_NONE LLC_IP IP4_UDP, A_UDP(4)),
	CASE("802.11 with quality of service and no more than llc", WIFI,
	     WIFI_3(QOS_DATA, "\x01") QOS_NONE LLC_IP "\x45", MALFORMED(0, 0)),
	CASE("802.11 with ht control", WIFI, WIFI_3(QOS_DATA, "\x81") QOS_NONE ZEROS_4 SNAP_IP4 IP4_UDP, A_UDP(4)),
	CASE("802.11 strictly ordered has no ht control", WIFI, WIFI_3(DATA, "\x81") SNAP_IP4 IP4_UDP, A_UDP(4)),
	CASE("802.11 padded without a word", WIFI,
	     WIFI_3(QOS_DATA, "\x01") QOS_NONE "\x00\x00" SNAP_IP4 IP4_UDP, A_UDP(4)),
	CASE("802.11 padded for no reason", WIFI, WIFI_3(DATA, "\x01") "\x00\x00" SNAP_IP4 IP4_UDP, NON_IP),
	CASE("802.11 with spanning tree is not padded", WIFI,
	     WIFI_3(QOS_DATA, "\x02") QOS_NONE "\x42\x42\x03\x00", NON_IP),
	CASE("mesh", WIFI, WIFI_4(QOS_DATA) QOS_MESH MESH_CONTROL("\x00") SNAP_IP4 IP4_UDP, A_UDP(4)),
	CASE("mesh with one address", WIFI,
	     WIFI_GROUP(QOS_DATA) QOS_MESH MESH_CONTROL("\x01") MAC_CLIENT SNAP_IP4 IP4_UDP, A_UDP(4),
	     .notes = PM_NOTE_GROUP),
	CASE("mesh with two addresses", WIFI,
	     WIFI_4(QOS_DATA) QOS_MESH MESH_CONTROL("\x02") MAC_SERVER MAC_CLIENT SNAP_IP6 IP6_UDP, A_UDP(6)),
	CASE("mesh to a group behind a gate", WIFI,
	     WIFI_4(QOS_DATA) QOS_MESH MESH_CONTROL("\x02") MAC_MULTICAST MAC_CLIENT SNAP_IP4 IP4_UDP, A_UDP(4),
	     .notes = PM_NOTE_GROUP),
	CASE("mesh with three addresses is none", WIFI,
	     WIFI_4(QOS_DATA) QOS_MESH MESH_CONTROL("\x03") MAC_SERVER MAC_CLIENT MAC_MESH SNAP_IP4 IP4_UDP,
	     NON_IP),
	CASE("mesh control without its bit", WIFI, WIFI_4(QOS_DATA) QOS_NONE MESH_CONTROL("\x00") SNAP_IP4 IP4_UDP,
	     NON_IP),
	CASE("the bit of a mesh from an access point", WIFI, WIFI_3(QOS_DATA, "\x02") QOS_MESH SNAP_IP4 IP4_UDP,
	     A_UDP(4)),
	CASE("the bit of a mesh to an access point", WIFI, WIFI_3(QOS_DATA, "\x01") QOS_MESH SNAP_IP4 IP4_UDP,
	     A_UDP(4)),
	CASE("no mesh sends to an access point", WIFI,
	     WIFI_3(QOS_DATA, "\x01") QOS_MESH MESH_CONTROL("\x00") SNAP_IP4 IP4_UDP, NON_IP),
	CASE("half a mesh control announces no ip", WIFI, WIFI_4(QOS_DATA) QOS_MESH "\x00\x1f\x01", NON_IP),
	CASE("an aggregate", WIFI, WIFI_3(QOS_DATA, "\x01") QOS_AGGREGATE SUBFRAME_IP4_UDP, A_UDP(4)),
	CASE("an aggregate counts by its first part", WIFI,
	     WIFI_3(QOS_DATA, "\x01") QOS_AGGREGATE SUBFRAME_ARP "\x00\x00" SUBFRAME_IP4_UDP, NON_IP),
	CASE("an aggregate's part ends at its length", WIFI,
	     WIFI_3(QOS_DATA, "\x01") QOS_AGGREGATE SUBFRAME("\x00\x1f") SNAP_IP4 IP4_UDP, MALFORMED(4, 17),
	     .notes = PM_NOTE_LENGTH),
	CASE("an aggregate's part beyond the frame", WIFI,
	     WIFI_3(QOS_DATA, "\x01") QOS_AGGREGATE SUBFRAME("\x00\x25") SNAP_IP4 IP4_UDP, A_UDP(4),
	     .notes = PM_NOTE_LENGTH),
	CASE("an aggregate's empty part", WIFI,
	     WIFI_3(QOS_DATA, "\x01") QOS_AGGREGATE SUBFRAME("\x00\x00") SUBFRAME_IP4_UDP, NON_IP),
	CASE("an aggregate to a group", WIFI,
	     WIFI_3(QOS_DATA, "\x01") QOS_AGGREGATE MAC_MULTICAST MAC_CLIENT "\x00\x24" SNAP_IP4 IP4_UDP,
	     A_UDP(4), .notes = PM_NOTE_GROUP),
	CASE("an aggregate to a group on the air only", WIFI,
	     WIFI_GROUP(QOS_DATA) QOS_AGGREGATE SUBFRAME_IP4_UDP, A_UDP(4)),
	CASE("an aggregate in a mesh", WIFI,
	     WIFI_4(QOS_DATA) "\x80\x01" SUBFRAME("\x00\x2a") MESH_CONTROL("\x00") SNAP_IP4 IP4_UDP, A_UDP(4)),
	CASE("an aggregate of four addresses with the bit of a mesh", WIFI,
	     WIFI_4(QOS_DATA) "\x80\x01" SUBFRAME_IP4_UDP, A_UDP(4)),
	CASE("half an aggregate's part announces no ip", WIFI, WIFI_3(QOS_DATA, "\x01") QOS_AGGREGATE MAC_SERVER,
	     NON_IP),
	CASE("radiotap", WIFI_RADIOTAP, RADIOTAP("\x08", ZEROS_4) WIFI_IP4_UDP, A_UDP(4)),
	CASE("radiotap with flags", WIFI_RADIOTAP, RADIOTAP_FLAGS("\x00") WIFI_IP4_UDP, A_UDP(4)),
	CASE("a check sequence holds no ports", WIFI_RADIOTAP,
	     RADIOTAP_FLAGS("\x10") WIFI_3(DATA, "\x01") SNAP_IP4 IP4("\x00\x1c", UDP_NUMBER) "\xc0\x00" ZEROS_4,
	     MALFORMED(4, 17), .notes = PM_NOTE_LENGTH),
	CASE("a check sequence is no payload", WIFI_RADIOTAP,
	     RADIOTAP_FLAGS("\x10") WIFI_IP4_UDP, A_UDP(4),
	     .notes = PM_NOTE_LENGTH),
	CASE("a check sequence behind the packet", WIFI_RADIOTAP, RADIOTAP_FLAGS("\x10") WIFI_IP4_UDP ZEROS_4,
	     A_UDP(4)),
	CASE("a wrong check sequence", WIFI_RADIOTAP, RADIOTAP_FLAGS("\x50") WIFI_IP4_UDP ZEROS_4, A_UDP(4)),
	CASE("nothing but a check sequence", WIFI_RADIOTAP, RADIOTAP_FLAGS("\x10") DATA "\x01\x2c", NON_IP),
	CASE("flags behind a time", WIFI_RADIOTAP,
	     RADIOTAP("\x11", "\x03\x00\x00\x00") ZEROS_8 "\x20" WIFI_3(QOS_DATA, "\x01") QOS_AGGREGATE "\x00\x00"
	     SUBFRAME_IP4_UDP, A_UDP(4)),
	CASE("flags behind a time behind two words", WIFI_RADIOTAP,
	     RADIOTAP("\x19", "\x03\x00\x00\x80") ZEROS_4 ZEROS_4 ZEROS_8 "\x20" WIFI_3(QOS_DATA, "\x01") QOS_AGGREGATE
	     "\x00\x00" SUBFRAME_IP4_UDP, A_UDP(4)),
	CASE("flags behind three words", WIFI_RADIOTAP,
	     RADIOTAP("\x11", "\x02\x00\x00\x80") "\x00\x00\x00\x80" ZEROS_4 "\x20" WIFI_3(QOS_DATA, "\x01")
	     QOS_AGGREGATE "\x00\x00" SUBFRAME_IP4_UDP, A_UDP(4)),
	CASE("words without end", WIFI_RADIOTAP, RADIOTAP("\x0e", "\x02\x00\x00\x80") "\xff\xff\xff\xff\xff\xff"
	     WIFI_IP4_UDP, A_UDP(4)),
	CASE("flags behind the end of the header", WIFI_RADIOTAP, RADIOTAP("\x08", "\x02\x00\x00\x00") WIFI_IP4_UDP,
	     A_UDP(4)),
	CASE("padding behind the header", WIFI_RADIOTAP,
	     RADIOTAP_FLAGS("\x20") WIFI_3(QOS_DATA, "\x01") QOS_NONE "\x00\x00" LLC_IP IP4_UDP, A_UDP(4)),
	CASE("padding where none is needed", WIFI_RADIOTAP, RADIOTAP_FLAGS("\x20") WIFI_IP4_UDP, A_UDP(4)),
	CASE("padding before mesh control", WIFI_RADIOTAP,
	     RADIOTAP_FLAGS("\x20") WIFI_GROUP(QOS_DATA) QOS_MESH "\x00\x00" MESH_CONTROL("\x00") SNAP_IP4 IP4_UDP,
	     A_UDP(4), .notes = PM_NOTE_GROUP),
	CASE("radiotap shorter than itself is malformed", WIFI_RADIOTAP, RADIOTAP("\x07", ZEROS_4) WIFI_IP4_UDP,
	     MALFORMED(0, 0)),
	CASE("radiotap of another version", WIFI_RADIOTAP, "\x01\x00\x08\x00" ZEROS_4 WIFI_IP4_UDP, NON_IP),
	CASE("radiotap beyond the frame announces no ip", WIFI_RADIOTAP, RADIOTAP("\xff", ZEROS_4) WIFI_IP4_UDP,
	     NON_IP),
	CASE("half a radiotap header announces no ip", WIFI_RADIOTAP, "\x00\x00\x08", NON_IP),
	CASE("ppi", PPI, PPI_HEAD("\x00", "\x08", "\x69") WIFI_IP4_UDP, A_UDP(4)),
	CASE("ethernet in ppi", PPI, PPI_HEAD("\x00", "\x10", "\x01") "\x08\x00\x04\x00" ZEROS_4 ETH_IP4_UDP,
	     A_UDP(4)),
	CASE("raw ip in ppi", PPI, PPI_HEAD("\x00", "\x08", "\x0c") IP6_UDP, A_UDP(6)),
	CASE("ppi in ppi", PPI, PPI_HEAD("\x00", "\x08", "\xc0") PPI_HEAD("\x00", "\x08", "\x65") IP4_UDP, A_UDP(4)),
	CASE("ppi with a check sequence", PPI,
	     PPI_HEAD("\x00", "\x20", "\x69") PPI_COMMON("\x01") WIFI_IP4_UDP, A_UDP(4),
	     .notes = PM_NOTE_LENGTH),
	CASE("ppi without a check sequence", PPI,
	     PPI_HEAD("\x00", "\x20", "\x69") PPI_COMMON("\x00") WIFI_IP4_UDP, A_UDP(4)),
	CASE("ppi, flags behind an odd field", PPI,
	     PPI_HEAD("\x00", "\x25", "\x69") "\x03\x00\x01\x00\x00" PPI_COMMON("\x01") WIFI_IP4_UDP,
	     A_UDP(4), .notes = PM_NOTE_LENGTH),
	CASE("ppi, flags behind an odd field that is aligned", PPI,
	     PPI_HEAD("\x01", "\x28", "\x69") "\x03\x00\x01\x00" ZEROS_4 PPI_COMMON("\x01") WIFI_IP4_UDP,
	     A_UDP(4), .notes = PM_NOTE_LENGTH),
	CASE("ppi, a field beyond the header", PPI,
	     PPI_HEAD("\x00", "\x0c", "\x69") "\x02\x00\x14\x00" WIFI_IP4_UDP, A_UDP(4)),
	CASE("ppi, no flags in a short field", PPI,
	     PPI_HEAD("\x00", "\x18", "\x69") "\x02\x00\x04\x00" ZEROS_4 "\x03\x00\x04\x00" "\xff\xff\xff\xff"
	     WIFI_IP4_UDP, A_UDP(4)),
	CASE("ppi, flags of 802.11 before ethernet", PPI,
	     PPI_HEAD("\x00", "\x20", "\x01") PPI_COMMON("\x01") ETH_IP4_UDP, A_UDP(4)),
	CASE("ppi of nothing that is known", PPI, PPI_HEAD("\x00", "\x08", "\x93") IP4_UDP, NON_IP),
	CASE("ppi shorter than itself is malformed", PPI, PPI_HEAD("\x00", "\x07", "\x69") WIFI_IP4_UDP,
	     MALFORMED(0, 0)),
	CASE("ppi of another version", PPI, "\x01\x00\x08\x00\x69\x00\x00\x00" WIFI_IP4_UDP, NON_IP),
	CASE("prism", WIFI_PRISM, "\x44\x00\x00\x00" "\x90\x00\x00\x00" PRISM_REST WIFI_IP4_UDP, A_UDP(4)),
	CASE("prism of the other order", WIFI_PRISM, "\x00\x00\x00\x44" "\x00\x00\x00\x90" PRISM_REST WIFI_IP4_UDP,
	     A_UDP(4)),
	CASE("prism of the older code, longer", WIFI_PRISM,
	     "\x41\x00\x00\x00" "\x98\x00\x00\x00" PRISM_REST ZEROS_8 WIFI_IP4_UDP, A_UDP(4)),
	CASE("prism of a size without its head", WIFI_PRISM,
	     "\x00\x00\x00\x41" "\x00\x00\x00\x78" PRISM_REST WIFI_IP4_UDP, A_UDP(4)),
	CASE("prism beyond the frame announces no ip", WIFI_PRISM,
	     "\x44\x00\x00\x00" "\xff\xff\xff\xff" PRISM_REST WIFI_IP4_UDP, NON_IP),
	CASE("avs in the place of prism", WIFI_PRISM, AVS_HEAD WIFI_IP4_UDP, A_UDP(4)),
	CASE("a frame without prism", WIFI_PRISM, WIFI_IP4_UDP, A_UDP(4)),
	CASE("avs", WIFI_AVS, AVS_HEAD WIFI_IP4_UDP, A_UDP(4)),
	CASE("avs, longer", WIFI_AVS,
	     AVS_SIZED("\x02", "\x48") ZEROS_16 ZEROS_16 ZEROS_16 ZEROS_16 WIFI_IP4_UDP, A_UDP(4)),
	CASE("avs shorter than itself is malformed", WIFI_AVS,
	     AVS_SIZED("\x01", "\x07") WIFI_IP4_UDP, MALFORMED(0, 0)),
	CASE("avs beyond the frame announces no ip", WIFI_AVS,
	     "\x80\x21\x10\x01" "\x40\x00\x00\x00" WIFI_IP4_UDP, NON_IP),

	/* Wide area and access. */
	CASE("frame relay, ipv4", FRAME_RELAY, "\x18\x41" "\x03\xcc" IP4_UDP, A_UDP(4)),
	CASE("frame relay, ipv6, padded, four bytes of address", FRAME_RELAY,
	     "\x18\x40\x02\x01" "\x03\x00\x8e" IP6_UDP, A_UDP(6)),
	CASE("frame relay, ppp", FRAME_RELAY, "\x18\x41" "\x03\xcf" PPP_IP4 IP4_UDP, A_UDP(4)),
	CASE("frame relay, snap", FRAME_RELAY, "\x18\x41" "\x03\x00\x80" OUI_ETHERTYPE TYPE_IP4 IP4_TCP, A_TCP(4)),
	CASE("frame relay, bridged", FRAME_RELAY,
	     "\x18\x41" "\x03\x00\x80\x00\x80\xc2\x00\x07" ETH(TYPE_IP4) IP4_UDP, A_UDP(4)),
	CASE("frame relay, bridged token ring is not told", FRAME_RELAY,
	     "\x18\x41" "\x03\x00\x80\x00\x80\xc2\x00\x09" ETH(TYPE_IP4) IP4_UDP, NON_IP),
	CASE("frame relay as cisco has it", FRAME_RELAY, "\x18\x41" TYPE_IP4 IP4_UDP, A_UDP(4)),
	CASE("frame relay signalling is not ip", FRAME_RELAY, "\x00\x01" "\x03\x08\x00\x75\x95", NON_IP),
	CASE("a frame relay address without end is not ip", FRAME_RELAY, "\x18\x40\x02\x02" "\x03\xcc" IP4_UDP,
	     NON_IP),
	CASE("frame relay with direction", FRAME_RELAY_DIRECTED, "\x01" "\x18\x41" "\x03\xcc" IP4_UDP, A_UDP(4)),
	CASE("multilink, whole", MULTILINK, "\xc0\x07" "\x18\x41" "\x03\xcc" IP4_UDP, A_UDP(4)),
	CASE("multilink, later part", MULTILINK, "\x40\x07" "\x18\x41" "\x03\xcc" IP4_UDP, NON_IP),
	CASE("multilink control is not ip", MULTILINK, "\xe0\x00\x01" IP4_UDP, NON_IP),
	CASE("cisco hdlc", CISCO_HDLC, "\x0f\x00" TYPE_IP4 IP4_UDP, A_UDP(4)),
	CASE("cisco hdlc with direction", CISCO_HDLC_DIRECTED, "\x00" "\x8f\x00" TYPE_IP6 IP6_UDP, A_UDP(6)),
	CASE("ppp with direction", PPP_DIRECTED, "\x00" "\xff\x03" PPP_IP4 IP4_UDP, A_UDP(4)),
	CASE("ppp with the direction as address", PPP_PPPD, "\x01\x03" PPP_IP6 IP6_UDP, A_UDP(6)),
	CASE("ppp with the direction as address, compressed", PPP_PPPD, "\x00" PPP_IP4 IP4_UDP, A_UDP(4)),
	CASE("atm, snap", ATM, SNAP_IP4 IP4_UDP, A_UDP(4)),
	CASE("atm, iso protocol", ATM, "\xfe\xfe\x03\xcc" IP4_UDP, A_UDP(4)),
	CASE("atm, iso routing is not ip", ATM, "\xfe\xfe\x03\x83\x1b\x01", NON_IP),
	CASE("atm, iso of another control is not ip", ATM, "\xfe\xfe\x02\xcc" IP4_UDP, NON_IP),
	CASE("atm, ip at once", ATM, IP6_UDP, A_UDP(6)),
	CASE("classical ip", ATM_CLIP, SNAP_IP4 IP4_UDP, A_UDP(4)),
	CASE("classical ip at once", ATM_CLIP, IP4_UDP, A_UDP(4)),
	CASE("classical ip at once, ipv6", ATM_CLIP, IP6_UDP, A_UDP(6)),
	CASE("classical ip of another version is malformed", ATM_CLIP, "\x30" IP4_UDP, MALFORMED(0, 0)),
	CASE("lan emulation", LANE, "\x00\x02" ETH(TYPE_IP4) IP4_UDP, A_UDP(4)),
	CASE("lan emulation's control is not ip", LANE, "\xff\x00" ETH(TYPE_IP4) IP4_UDP, NON_IP),
	CASE("sunatm, llc", SUNATM, "\x02\x00\x00\x20" SNAP_IP4 IP4_UDP, A_UDP(4)),
	CASE("sunatm, lan emulation", SUNATM, "\x81\x00\x00\x20" "\x00\x02" ETH(TYPE_IP6) IP6_UDP, A_UDP(6)),
	CASE("sunatm signalling is not ip", SUNATM, "\x06\x00\x00\x05" SNAP_IP4 IP4_UDP, NON_IP),
	CASE("slip", SLIP, "\x00" "\x45" ZEROS_8 ZEROS_4 "\x00\x00" IP4_UDP, A_UDP(4)),
	CASE("slip of bsd/os", SLIP_BSDOS, ZEROS_16 ZEROS_8 IP4_UDP, A_UDP(4)),
	CASE("ax.25", AX25, AX25_TO AX25_FROM("\x61") "\x03\xcc" IP4_UDP, A_UDP(4)),
	CASE("ax.25 over a repeater, polled", AX25, AX25_TO AX25_FROM("\x60") AX25_FROM("\x63") "\x13\xcc" IP4_UDP,
	     A_UDP(4)),
	CASE("ax.25 arp is not ip", AX25, AX25_TO AX25_FROM("\x61") "\x03\xcd" IP4_UDP, NON_IP),
	CASE("ax.25 with control is not ip", AX25, AX25_TO AX25_FROM("\x61") "\x2f\xcc" IP4_UDP, NON_IP),
	CASE("ax.25 addresses without end are not ip", AX25,
	     AX25_TO AX25_TO AX25_TO AX25_TO AX25_TO AX25_TO AX25_TO AX25_TO AX25_TO AX25_TO "\x03\xcc" IP4_UDP,
	     NON_IP),
	CASE("ax.25 by kiss", AX25_KISS, "\x10" AX25_TO AX25_FROM("\x61") "\x03\xcc" IP4_UDP, A_UDP(4)),
	CASE("a kiss command is not ip", AX25_KISS, "\x01\x28", NON_IP),
	CASE("docsis", DOCSIS, "\x00\x00\x00\x2e" "\xab\xcd" ETH(TYPE_IP4) IP4_UDP, A_UDP(4)),
	CASE("docsis with an extended header", DOCSIS, "\x01\x03\x00\x31" "\x60\x01\x02" "\xab\xcd" ETH(TYPE_IP4) IP4_UDP,
	     A_UDP(4)),
	CASE("docsis, encrypted", DOCSIS, "\x01\x05\x00\x33" "\x44\x10\x80\x01\x00" "\xab\xcd" ETH(TYPE_IP4) IP4_UDP,
	     NON_IP),
	CASE("docsis management is not ip", DOCSIS, "\xc2\x00\x00\x2e" "\xab\xcd" ETH(TYPE_IP4) IP4_UDP, NON_IP),
	CASE("epon", EPON, "\x55\x55\xd5\x55\x55\x00\x01\x4a" ETH(TYPE_IP4) IP4_UDP, A_UDP(4)),
	CASE("mpls by itself", MPLS, LABEL_BOTTOM IP4_UDP, A_UDP(4)),

	/* What systems and devices put before a frame. */
	CASE("pktap, ethernet", PKTAP,
	     "\x10\x00\x00\x00" "\x01\x00\x00\x00" "\x01\x00\x00\x00" "en0\x00" ETH(TYPE_IP4) IP4_UDP, A_UDP(4)),
	CASE("pktap, raw, big-endian", PKTAP,
	     "\x00\x00\x00\x0c" "\x00\x00\x00\x01" "\x00\x00\x00\x0c" IP6_UDP, A_UDP(6)),
	CASE("pktap without a packet", PKTAP, "\x0c\x00\x00\x00" "\x00\x00\x00\x00" "\x01\x00\x00\x00", NON_IP),
	CASE("pktap shorter than itself", PKTAP, "\x0b\x00\x00\x00" "\x01\x00\x00\x00" "\x01\x00\x00\x00" IP4_UDP,
	     MALFORMED(0, 0)),
	CASE("nflog, ipv4", NFLOG, NFLOG_HEAD("\x02") NFLOG_PREFIX "\x20\x00\x09\x00" IP4_UDP, A_UDP(4)),
	CASE("nflog, ipv6, big-endian", NFLOG, NFLOG_HEAD("\x0a") "\x00\x34\x00\x09" IP6_UDP, A_UDP(6)),
	CASE("nflog without payload is not ip", NFLOG, NFLOG_HEAD("\x02") NFLOG_PREFIX, NON_IP),
	CASE("nflog of another version is not ip", NFLOG, "\x02\x01\x00\x05" "\x20\x00\x09\x00" IP4_UDP, NON_IP),
	CASE("nflog attribute shorter than itself", NFLOG, NFLOG_HEAD("\x02") "\x03\x00\x0a\x00" IP4_UDP,
	     MALFORMED(0, 0)),
	CASE("pflog", PFLOG, "\x2d\x02\x00\x01" ZEROS_16 ZEROS_16 ZEROS_8 ZEROS_4 IP4_UDP, A_UDP(4)),
	CASE("pflog too short for itself", PFLOG, "\x04\x02\x00\x01" IP4_UDP, MALFORMED(0, 0)),
	CASE("enc", ENC, "\x18\x00\x00\x00" ZEROS_8 IP6_UDP, A_UDP(6)),
	CASE("ipnet", IPNET, "\x01\x02" ZEROS_16 ZEROS_4 "\x00\x00" IP4_UDP, A_UDP(4)),
	CASE("ipnet of another family is not ip", IPNET, "\x01\x01" ZEROS_16 ZEROS_4 "\x00\x00" IP4_UDP, NON_IP),
	CASE("netanalyzer", NETANALYZER, ZEROS_4 ETH(TYPE_IP4) IP4_UDP, A_UDP(4)),
	CASE("netanalyzer, transparent", NETANALYZER_TRANSPARENT, ZEROS_4 ZEROS_8 ETH(TYPE_IP4) IP4_UDP, A_UDP(4)),
	CASE("mpacket", MPACKET, "\x55\x55\x55\x55\x55\x55\x55\xd5" ETH(TYPE_IP4) IP4_UDP, A_UDP(4)),
	CASE("mpacket, start of a preemptible frame", MPACKET, "\x55\x55\x55\x55\x55\x55\x55\x4c" ETH(TYPE_IP4) IP4_UDP,
	     A_UDP(4)),
	CASE("mpacket, later part", MPACKET, "\x55\x55\x55\x55\x55\x55\x61\x1b" ETH(TYPE_IP4) IP4_UDP, NON_IP),
	CASE("broadcom's tag", SWITCH_BRCM, MAC_SERVER MAC_CLIENT "\x20\x00\x00\x01" TYPE_IP4 IP4_UDP, A_UDP(4)),
	CASE("broadcom's tag before all", SWITCH_BRCM_PREPENDED, "\x20\x00\x00\x01" ETH(TYPE_IP6) IP6_UDP, A_UDP(6)),
	CASE("a dsa tag, broadcast", SWITCH_DSA, MAC_BROADCAST MAC_CLIENT "\xc0\x00\x00\x01" TYPE_IP4 IP4_UDP, A_UDP(4),
	     .notes = PM_NOTE_GROUP),
	CASE("an edsa tag", SWITCH_EDSA, MAC_SERVER MAC_CLIENT "\xda\xda\x00\x00\xc0\x00\x00\x01" TYPE_IP4 IP4_UDP,
	     A_UDP(4)),
	CASE("erf, ethernet", ERF, ZEROS_8 "\x02\x04\x00\x3c\x00\x00\x00\x2a" "\x00\x00" ETH(TYPE_IP4) IP4_UDP, A_UDP(4)),
	CASE("erf, two extension headers, ipv6", ERF,
	     ZEROS_8 "\x97\x04\x00\x3c\x00\x00\x00\x2a" "\x83\x00\x00\x00" ZEROS_4 "\x03\x00\x00\x00" ZEROS_4 IP6_UDP,
	     A_UDP(6)),
	CASE("erf, packets over sonet", ERF, ZEROS_8 "\x01\x04\x00\x3c\x00\x00\x00\x2a" "\x0f\x00" TYPE_IP4 IP4_UDP,
	     A_UDP(4)),
	CASE("erf, infiniband is not ip", ERF, ZEROS_8 "\x15\x04\x00\x3c\x00\x00\x00\x2a" IP4_UDP, NON_IP),
	CASE("juniper, ethernet", JUNIPER_ETHER, JUNIPER("\x01") ETH(TYPE_IP4) IP4_UDP, A_UDP(4)),
	CASE("juniper, ethernet, with attributes", JUNIPER_ETHER,
	     JUNIPER("\x80") "\x00\x06" "\x02\x01\x0a\x03\x01\x01" ETH(TYPE_IP6) IP6_UDP, A_UDP(6)),
	CASE("juniper without link layer", JUNIPER_ETHER, JUNIPER("\x02") ZEROS_4 IP4_UDP, A_UDP(4)),
	CASE("juniper, ppp", JUNIPER_PPP, JUNIPER("\x00") PPP_IP4 IP4_UDP, A_UDP(4)),
	CASE("juniper, frame relay", JUNIPER_FRELAY, JUNIPER("\x00") "\x18\x41" "\x03\xcc" IP4_UDP, A_UDP(4)),
	CASE("juniper, cisco hdlc", JUNIPER_CHDLC, JUNIPER("\x00") "\x0f\x00" TYPE_IP4 IP4_UDP, A_UDP(4)),
	CASE("juniper, atm without link layer", JUNIPER_ATM1, JUNIPER("\x03") ZEROS_4 IP4_UDP, A_UDP(4)),
	CASE("juniper, atm with cookies is not told", JUNIPER_ATM1, JUNIPER("\x00") "\x80\x00\x00\x01" SNAP_IP4 IP4_UDP, NON_IP),
	CASE("juniper without its magic is not ip", JUNIPER_ETHER, "\x4d\x47\x44\x00" ETH(TYPE_IP4) IP4_UDP, NON_IP),

	/* Loopback, raw, cooked. */
	CASE("null of a small machine", NULLL, "\x02\x00\x00\x00" IP4_UDP, A_UDP(4)),
	CASE("null of a big machine", NULLL, "\x00\x00\x00\x02" IP4_UDP, A_UDP(4)),
	CASE("null with the ipv6 of linux", NULLL, "\x0a\x00\x00\x00" IP6_UDP, A_UDP(6)),
	CASE("null with the ipv6 of netbsd", NULLL, "\x18\x00\x00\x00" IP6_UDP, A_UDP(6)),
	CASE("null with the ipv6 of freebsd", NULLL, "\x1c\x00\x00\x00" IP6_UDP, A_UDP(6)),
	CASE("null with the ipv6 of darwin", NULLL, "\x00\x00\x00\x1e" IP6_UDP, A_UDP(6)),
	CASE("null with another family is not ip", NULLL, "\x07\x00\x00\x00" IP4_UDP, NON_IP),
	CASE("null with no family is not ip", NULLL, "\x02\x00\x00\x02" IP4_UDP, NON_IP),
	CASE("a short null header announces no ip", NULLL, "\x02\x00\x00", NON_IP),
	CASE("loop with ipv4", LOOP, "\x00\x00\x00\x02" IP4_UDP, A_UDP(4)),
	CASE("loop with the ipv6 of openbsd", LOOP, "\x00\x00\x00\x18" IP6_UDP, A_UDP(6)),
	CASE("raw ipv4", RAW, IP4_UDP, A_UDP(4)),
	CASE("raw ipv6", RAW, IP6_TCP, A_TCP(6)),
	CASE("raw of old files", RAW_12, IP4_UDP, A_UDP(4)),
	CASE("raw of openbsd", RAW_14, IP6_UDP, A_UDP(6)),
	CASE("raw of another version is not ip", RAW, "\x55\x00\x00\x1c", NON_IP),
	CASE("raw and empty has no ip layer", RAW, "", NON_IP),
	CASE("an ipv4 link has no ipv6", IPV4, IP6_UDP, MALFORMED(0, 0)),
	CASE("an ipv6 link has no ipv4", IPV6, IP4("\x00\x3c", UDP_NUMBER) UDP UDP UDP UDP UDP, MALFORMED(0, 0)),
	CASE("cooked ipv4", COOKED, SLL("\x00\x00", HARDWARE_ETHERNET, TYPE_IP4) IP4_UDP, A_UDP(4)),
	CASE("cooked ipv6, sent", COOKED, SLL("\x00\x04", HARDWARE_ETHERNET, TYPE_IP6) IP6_TCP, A_TCP(6)),
	CASE("cooked broadcast", COOKED, SLL("\x00\x01", HARDWARE_ETHERNET, TYPE_IP4) IP4_UDP, A_UDP(4),
	     .notes = PM_NOTE_GROUP),
	CASE("cooked multicast", COOKED, SLL("\x00\x02", HARDWARE_ETHERNET, TYPE_IP4) IP4_UDP, A_UDP(4),
	     .notes = PM_NOTE_GROUP),
	CASE("cooked to another host", COOKED, SLL("\x00\x03", HARDWARE_ETHERNET, TYPE_IP4) IP4_UDP,
	     A_UDP(4)),
	CASE("cooked with a tag", COOKED,
	     SLL("\x00\x00", HARDWARE_ETHERNET, TYPE_VLAN) TAG("\x00\x05", TYPE_IP4) IP4_UDP, A_UDP(4),
	     .vlan = 5),
	CASE("cooked llc", COOKED, SLL("\x00\x00", HARDWARE_ETHERNET, "\x00\x04") LLC_IP IP4_UDP, A_UDP(4)),
	CASE("cooked raw 802.3 is not ip", COOKED, SLL("\x00\x00", HARDWARE_ETHERNET, "\x00\x01") IP4_UDP,
	     NON_IP),
	CASE("netlink is not ip whatever its protocol", COOKED, SLL("\x00\x00", "\x03\x38", TYPE_IP4) IP4_UDP,
	     NON_IP),
	CASE("cooked frame relay", COOKED, SLL("\x00\x00", "\x03\x02", "\x00\x01") "\x18\x41" "\x03\xcc" IP4_UDP, A_UDP(4)),
	CASE("cooked frame relay has no protocol", COOKED, SLL("\x00\x00", "\x03\x02", TYPE_IP4) IP4_UDP,
	     NON_IP),
	CASE("cooked radiotap has no protocol", COOKED,
	     SLL("\x00\x03", HARDWARE_RADIOTAP, TYPE_IP4) RADIOTAP_FLAGS("\x00") WIFI_IP4_UDP, A_UDP(4)),
	CASE("cooked radiotap is no ip at once", COOKED, SLL("\x00\x00", HARDWARE_RADIOTAP, TYPE_IP4) IP4_UDP,
	     NON_IP),
	CASE("cooked 802.11 of a monitor", COOKED,
	     SLL("\x00\x03", HARDWARE_WIFI, "\x00\x04") WIFI_IP4_UDP, A_UDP(4)),
	CASE("cooked 802.11 with llc", COOKED, SLL("\x00\x00", HARDWARE_WIFI, "\x00\x04") SNAP_IP4 IP4_UDP,
	     A_UDP(4)),
	CASE("cooked 802.11 with ip", COOKED, SLL("\x00\x00", HARDWARE_WIFI, TYPE_IP4) IP4_UDP, A_UDP(4)),
	CASE("cooked prism of a monitor", COOKED,
	     SLL("\x00\x03", HARDWARE_PRISM, "\x00\x04") "\x44\x00\x00\x00" "\x90\x00\x00\x00" PRISM_REST
	     WIFI_IP4_UDP, A_UDP(4)),
	CASE("cooked avs of a monitor", COOKED, SLL("\x00\x03", HARDWARE_PRISM, "\x00\x04") AVS_HEAD WIFI_IP4_UDP,
	     A_UDP(4)),
	CASE("cooked prism with llc", COOKED, SLL("\x00\x00", HARDWARE_PRISM, "\x00\x04") LLC_IP IP4_UDP, A_UDP(4)),
	CASE("a short cooked header announces no ip", COOKED, "\x00\x00\x00\x01\x00\x06" MAC_CLIENT, NON_IP),
	CASE("cooked 2 ipv4", COOKED_2, SLL2("\x00", HARDWARE_ETHERNET, TYPE_IP4) IP4_UDP, A_UDP(4)),
	CASE("cooked 2 ipv6", COOKED_2, SLL2("\x04", HARDWARE_ETHERNET, TYPE_IP6) IP6_TCP, A_TCP(6)),
	CASE("cooked 2 broadcast", COOKED_2, SLL2("\x01", HARDWARE_ETHERNET, TYPE_IP4) IP4_UDP, A_UDP(4),
	     .notes = PM_NOTE_GROUP),
	CASE("cooked 2 multicast", COOKED_2, SLL2("\x02", HARDWARE_ETHERNET, TYPE_IP4) IP4_UDP, A_UDP(4),
	     .notes = PM_NOTE_GROUP),
	CASE("cooked 2 llc", COOKED_2, SLL2("\x00", HARDWARE_ETHERNET, "\x00\x04") LLC_IP IP4_UDP, A_UDP(4)),
	CASE("radiotap in cooked 2", COOKED_2,
	     SLL2("\x03", HARDWARE_RADIOTAP, "\x00\x19") RADIOTAP_FLAGS("\x00") WIFI_IP4_UDP, A_UDP(4)),
	CASE("802.11 of a monitor in cooked 2", COOKED_2,
	     SLL2("\x03", HARDWARE_WIFI, "\x00\x04") WIFI_IP4_UDP, A_UDP(4)),
	CASE("netlink in cooked 2 is not ip", COOKED_2, SLL2("\x00", "\x03\x38", TYPE_IP4) IP4_UDP, NON_IP),

	/* Group destinations. */
	CASE("to an ethernet group", ETHER, MAC_MULTICAST MAC_CLIENT TYPE_IP4 IP4_UDP, A_UDP(4),
	     .notes = PM_NOTE_GROUP),
	CASE("to the ethernet broadcast", ETHER, MAC_BROADCAST MAC_CLIENT TYPE_IP6 IP6_UDP, A_UDP(6),
	     .notes = PM_NOTE_GROUP),
	CASE("from an ethernet group is no group", ETHER, MAC_SERVER MAC_MULTICAST TYPE_IP4 IP4_UDP,
	     A_UDP(4)),
	CASE("to an ipv4 group", RAW, IP4_TO(ADDRESS4_MULTICAST) UDP, A_UDP(4), .notes = PM_NOTE_GROUP),
	CASE("to the first ipv4 group", RAW, IP4_TO("\xe0\x00\x00\x00") UDP, A_UDP(4),
	     .notes = PM_NOTE_GROUP),
	CASE("to the last ipv4 group", RAW, IP4_TO("\xef\xff\xff\xff") UDP, A_UDP(4),
	     .notes = PM_NOTE_GROUP),
	CASE("to the ipv4 broadcast", RAW, IP4_TO("\xff\xff\xff\xff") UDP, A_UDP(4),
	     .notes = PM_NOTE_GROUP),
	CASE("below the ipv4 groups", RAW, IP4_TO("\xdf\xff\xff\xff") UDP, A_UDP(4)),
	CASE("above the ipv4 groups", RAW, IP4_TO("\xf0\x00\x00\x00") UDP, A_UDP(4)),
	CASE("below the ipv4 broadcast", RAW, IP4_TO("\xff\xff\xff\xfe") UDP, A_UDP(4)),
	CASE("to an ipv6 group", RAW, IP6_TO("\x00\x08", UDP_NUMBER, ADDRESS6_MULTICAST) UDP, A_UDP(6),
	     .notes = PM_NOTE_GROUP),

	/* IPv4. */
	CASE("ipv4 with 4 bytes of options", IPV4,
	     IP4_SIZED("\x46", "\x00\x20") OPTIONS_4 UDP, A_UDP(4)),
	CASE("ipv4 with 40 bytes of options", IPV4,
	     IP4_SIZED("\x4f", "\x00\x44") OPTIONS_20 OPTIONS_20 UDP,
	     A_UDP(4)),
	CASE("ipv4 options cut by the capture", IPV4,
	     IP4_SIZED("\x46", "\x00\x20") OPTIONS_4 UDP, TRUNCATED(0, 0), .cut = 9),
	CASE("ipv4 options beyond the frame", IPV4,
	     IP4_SIZED("\x4f", "\x00\x44") UDP,
	     MALFORMED(0, 0), .notes = PM_NOTE_LENGTH),
	CASE("ipv4 of version 6", ETHER, ETH(TYPE_IP4) IP4_SIZED("\x65", "\x00\x1c") UDP, MALFORMED(0, 0)),
	CASE("ipv4 with a header below 20", IPV4,
	     IP4_SIZED("\x44", "\x00\x1c") UDP,
	     MALFORMED(0, 0)),
	CASE("ipv4 with a total below its header", IPV4, IP4("\x00\x13", UDP_NUMBER) UDP, MALFORMED(0, 0)),
	CASE("ipv4 with a total below its options", IPV4,
	     IP4_SIZED("\x46", "\x00\x17") OPTIONS_4 UDP, MALFORMED(0, 0)),
	CASE("ipv4 with a total of zero is offload", IPV4, IP4("\x00\x00", TCP_NUMBER) TCP, A_TCP(4)),
	CASE("ipv4 with a total beyond the frame is noted", IPV4, IP4("\x05\xdc", UDP_NUMBER) UDP, A_UDP(4),
	     .notes = PM_NOTE_LENGTH),
	CASE("ipv4 beyond a frame cut by the capture is not noted", IPV4, IP4("\x05\xdc", UDP_NUMBER) UDP,
	     A_UDP(4), .more = 1472),
	CASE("ipv4 that ends at its header", IPV4, IP4("\x00\x14", UDP_NUMBER) UDP, MALFORMED(4, 17)),
	CASE("ipv4 that ends in the ports", IPV4, IP4("\x00\x17", UDP_NUMBER) UDP, MALFORMED(4, 17)),
	CASE("ipv4 that ends behind the ports", IPV4, IP4("\x00\x18", UDP_NUMBER) UDP, A_UDP(4)),
	CASE("ethernet padding is not payload", ETHER, ETH(TYPE_IP4) IP4("\x00\x16", UDP_NUMBER) UDP UDP UDP,
	     MALFORMED(4, 17)),
	CASE("icmp has no ports", IPV4, IP4("\x00\x1c", ICMP_NUMBER) ICMP, NO_PORTS(4, 1)),
	CASE("what an icmp error quotes is no traffic", IPV4,
	     IP4("\x00\x38", ICMP_NUMBER) "\x03\x03\x00\x00\x00\x00\x00\x00" IP4_UDP, NO_PORTS(4, 1)),
	CASE("esp hides its ports", IPV4, IP4("\x00\x1c", ESP_NUMBER) UDP, NO_PORTS(4, 50)),
	CASE("ipcomp hides its ports", IPV4, IP4("\x00\x1c", "\x6c") UDP, NO_PORTS(4, 108)),
	CASE("ospf has no ports", IPV4, IP4("\x00\x1c", "\x59") UDP, NO_PORTS(4, 89)),
	CASE("a protocol without ports may be empty", IPV4, IP4("\x00\x14", "\xff"), NO_PORTS(4, 255)),
	CASE("no next header in ipv4 has no ports", IPV4, IP4("\x00\x1c", "\x3b") UDP, NO_PORTS(4, 59)),
	CASE("hop-by-hop in ipv4 is a mere protocol", IPV4, IP4("\x00\x24", "\x00") EXTENSION(UDP_NUMBER) UDP,
	     NO_PORTS(4, 0)),
	CASE("routing in ipv4 is a mere protocol", IPV4, IP4("\x00\x24", "\x2b") EXTENSION(UDP_NUMBER) UDP,
	     NO_PORTS(4, 43)),
	CASE("a fragment header in ipv4 is a mere protocol", IPV4,
	     IP4("\x00\x24", "\x2c") FRAGMENT6(UDP_NUMBER, "\x00\x08") UDP, NO_PORTS(4, 44)),
	CASE("destination options in ipv4 are a mere protocol", IPV4,
	     IP4("\x00\x24", "\x3c") EXTENSION(UDP_NUMBER) UDP, NO_PORTS(4, 60)),
	CASE("ah in ipv4 hides nothing", IPV4, IP4("\x00\x40", AH_NUMBER) AH_24(TCP_NUMBER) TCP, A_TCP(4)),
	CASE("ah without a check value", IPV4, IP4("\x00\x28", AH_NUMBER) AH_12(UDP_NUMBER) UDP, A_UDP(4)),
	CASE("ah twice", IPV4, IP4("\x00\x34", AH_NUMBER) AH_12(AH_NUMBER) AH_12(UDP_NUMBER) UDP, A_UDP(4)),
	CASE("ah before esp", IPV4, IP4("\x00\x28", AH_NUMBER) AH_12(ESP_NUMBER) UDP, NO_PORTS(4, 50)),
	CASE("ah before an ipv6 header in ipv4", IPV4, IP4("\x00\x28", AH_NUMBER) AH_12("\x3c") UDP,
	     NO_PORTS(4, 60)),
	CASE("ah shorter than itself is malformed", IPV4,
	     IP4("\x00\x28", AH_NUMBER) "\x11\x00\x00\x00\x00\x00\x00\x01\x00\x00\x00\x01" UDP,
	     MALFORMED(4, 51)),
	CASE("ah beyond the packet is malformed", IPV4, IP4("\x00\x24", AH_NUMBER) AH_24(UDP_NUMBER) UDP,
	     MALFORMED(4, 51)),
	CASE("ah cut by the capture is truncated", IPV4, IP4("\x00\x34", AH_NUMBER) AH_24(UDP_NUMBER) UDP,
	     TRUNCATED(4, 51), .cut = 9),

	/* Fragments of IPv4. */
	CASE("a first fragment has ports", IPV4, IP4_FRAGMENT("\x00\x1c", "\x20\x00", UDP_NUMBER) UDP, A_UDP(4),
	     .notes = PM_NOTE_FIRST_FRAGMENT, .id = 0x1234),
	CASE("a later fragment has none", IPV4, IP4_FRAGMENT("\x00\x1c", "\x20\x01", UDP_NUMBER) UDP, LATER(4, 17),
	     .id = 0x1234),
	CASE("the last fragment has none", IPV4, IP4_FRAGMENT("\x00\x1c", "\x1f\xff", TCP_NUMBER) UDP, LATER(4, 6),
	     .id = 0x1234),
	CASE("a fragment in the middle has none", IPV4, IP4_FRAGMENT("\x00\x1c", "\x10\x00", UDP_NUMBER) UDP,
	     LATER(4, 17), .id = 0x1234),
	CASE("a later fragment need not hold data", IPV4, IP4_FRAGMENT("\x00\x1c", "\x00\x01", TCP_NUMBER) UDP,
	     LATER(4, 6), .id = 0x1234, .cut = 8),
	CASE("a later fragment of udp-lite", IPV4, IP4_FRAGMENT("\x00\x1c", "\x00\x01", UDPLITE_NUMBER) UDP,
	     LATER(4, 136), .id = 0x1234),
	CASE("a later fragment of sctp", IPV4, IP4_FRAGMENT("\x00\x1c", "\x00\x01", SCTP_NUMBER) UDP,
	     LATER(4, 132), .id = 0x1234),
	CASE("a later fragment of dccp", IPV4, IP4_FRAGMENT("\x00\x1c", "\x00\x01", DCCP_NUMBER) UDP,
	     LATER(4, 33), .id = 0x1234),
	CASE("a later fragment of ah may have ports", IPV4, IP4_FRAGMENT("\x00\x1c", "\x00\x01", AH_NUMBER) UDP,
	     LATER(4, 51), .id = 0x1234),
	CASE("a later fragment of icmp has a protocol without ports", IPV4,
	     IP4_FRAGMENT("\x00\x1c", "\x00\x01", ICMP_NUMBER) ICMP, LATER_WITHOUT(4, 1), .id = 0x1234),
	CASE("a later fragment of esp has a protocol without ports", IPV4,
	     IP4_FRAGMENT("\x00\x1c", "\x00\x01", ESP_NUMBER) UDP, LATER_WITHOUT(4, 50), .id = 0x1234),
	CASE("a later fragment of hop-by-hop in ipv4", IPV4, IP4_FRAGMENT("\x00\x1c", "\x00\x01", "\x00") UDP,
	     LATER_WITHOUT(4, 0), .id = 0x1234),
	CASE("a first fragment of icmp", IPV4, IP4_FRAGMENT("\x00\x1c", "\x20\x00", ICMP_NUMBER) ICMP,
	     NO_PORTS(4, 1), .notes = PM_NOTE_FIRST_FRAGMENT, .id = 0x1234),
	CASE("a first fragment of ah and icmp", IPV4,
	     IP4_FRAGMENT("\x00\x28", "\x20\x00", AH_NUMBER) AH_12(ICMP_NUMBER) ICMP, NO_PORTS(4, 1),
	     .notes = PM_NOTE_FIRST_FRAGMENT, .id = 0x1234),
	CASE("a first fragment of ah and tcp", IPV4,
	     IP4_FRAGMENT("\x00\x34", "\x20\x00", AH_NUMBER) AH_12(TCP_NUMBER) TCP, A_TCP(4),
	     .notes = PM_NOTE_FIRST_FRAGMENT, .id = 0x1234),
	CASE("a first fragment that ends before the ports", IPV4,
	     IP4_FRAGMENT("\x00\x17", "\x20\x00", UDP_NUMBER) UDP, MALFORMED(4, 17),
	     .notes = PM_NOTE_FIRST_FRAGMENT, .id = 0x1234),
	CASE("don't fragment and the reserved bit make no fragment", IPV4,
	     IP4_FRAGMENT("\x00\x1c", "\xc0\x00", UDP_NUMBER) UDP, A_UDP(4)),

	/* IPv6. */
	CASE("ipv6 of version 4", ETHER, ETH(TYPE_IP6) IP4_UDP UDP UDP, MALFORMED(0, 0)),
	CASE("half an ipv6 header is malformed", IPV6, "\x60\x00\x00\x00\x00\x08\x11\x40" ADDRESS6_CLIENT,
	     MALFORMED(0, 0)),
	CASE("half an ipv6 header captured is truncated", IPV6, IP6_UDP, TRUNCATED(0, 0), .cut = 9),
	CASE("ipv6 with traffic class and flow label", IPV6,
	     "\x6f\xff\xff\xff\x00\x08\x11\x40" ADDRESS6_CLIENT ADDRESS6_SERVER UDP, A_UDP(6)),
	CASE("ipv6 beyond the frame is noted", IPV6, IP6("\x00\x09", UDP_NUMBER) UDP, A_UDP(6),
	     .notes = PM_NOTE_LENGTH),
	CASE("ipv6 with a length of 65535", IPV6, IP6("\xff\xff", UDP_NUMBER) UDP, A_UDP(6),
	     .notes = PM_NOTE_LENGTH),
	CASE("ipv6 that ends in the ports", IPV6, IP6("\x00\x03", UDP_NUMBER) UDP, MALFORMED(6, 17)),
	CASE("ipv6 that ends behind the ports", IPV6, IP6("\x00\x04", UDP_NUMBER) UDP, A_UDP(6)),
	CASE("no next header", IPV6, IP6("\x00\x08", "\x3b") UDP, NO_PORTS(6, 59)),
	CASE("icmpv6 has no ports", IPV6, IP6("\x00\x08", ICMP6_NUMBER) ICMP, NO_PORTS(6, 58)),
	CASE("what an icmpv6 error quotes is no traffic", IPV6,
	     IP6("\x00\x38", ICMP6_NUMBER) "\x01\x04\x00\x00\x00\x00\x00\x00" IP6_UDP, NO_PORTS(6, 58)),
	CASE("esp in ipv6 hides its ports", IPV6, IP6("\x00\x08", ESP_NUMBER) UDP, NO_PORTS(6, 50)),
	CASE("ipcomp in ipv6 hides its ports", IPV6, IP6("\x00\x08", "\x6c") UDP, NO_PORTS(6, 108)),
	CASE("hop-by-hop options", IPV6, IP6("\x00\x10", "\x00") EXTENSION(UDP_NUMBER) UDP, A_UDP(6)),
	CASE("routing header", IPV6, IP6("\x00\x1c", "\x2b") EXTENSION(TCP_NUMBER) TCP, A_TCP(6)),
	CASE("destination options", IPV6, IP6("\x00\x10", "\x3c") EXTENSION(UDP_NUMBER) UDP, A_UDP(6)),
	CASE("mobility header", IPV6, IP6("\x00\x10", "\x87") EXTENSION(UDP_NUMBER) UDP, A_UDP(6)),
	CASE("host identity header", IPV6, IP6("\x00\x10", "\x8b") EXTENSION(UDP_NUMBER) UDP, A_UDP(6)),
	CASE("shim6 header", IPV6, IP6("\x00\x10", "\x8c") EXTENSION(UDP_NUMBER) UDP, A_UDP(6)),
	CASE("an extension of 24 bytes", IPV6,
	     IP6("\x00\x20", "\x3c") "\x11\x02\x01\x14" ADDRESS6_SERVER "\x00\x00\x00\x00" UDP, A_UDP(6)),
	CASE("many extensions", IPV6,
	     IP6("\x00\x34", "\x00") EXTENSION("\x3c") EXTENSION("\x2b") FRAGMENT6(AH_NUMBER, "\x00\x00")
		     AH_12("\x3c") EXTENSION(UDP_NUMBER) UDP,
	     A_UDP(6)),
	CASE("ah in ipv6 counts 4-byte units", IPV6, IP6("\x00\x2c", AH_NUMBER) AH_24(TCP_NUMBER) TCP, A_TCP(6)),
	CASE("an extension before icmpv6", IPV6, IP6("\x00\x10", "\x00") EXTENSION(ICMP6_NUMBER) ICMP,
	     NO_PORTS(6, 58)),
	CASE("an extension beyond the packet is malformed", IPV6,
	     IP6("\x00\x10", "\x3c") "\x11\x02\x01\x04\x00\x00\x00\x00" UDP, MALFORMED(6, 60)),
	CASE("an extension of 2048 bytes in a short capture", IPV6,
	     IP6("\x08\x08", "\x3c") "\x11\xff\x01\x04\x00\x00\x00\x00" UDP, TRUNCATED(6, 60), .more = 2040),
	CASE("half an extension is malformed", IPV6, IP6("\x00\x04", "\x3c") EXTENSION(UDP_NUMBER),
	     MALFORMED(6, 60)),

	/* Lengths of zero in IPv6. */
	CASE("an ipv6 length of zero means it", IPV6, IP6("\x00\x00", UDP_NUMBER) UDP, MALFORMED(6, 17)),
	CASE("an ipv6 length of zero means it up to 65535 bytes", IPV6, IP6("\x00\x00", UDP_NUMBER) UDP,
	     MALFORMED(6, 17), .more = 65535 - 8),
	CASE("an ipv6 length of zero is offload from 65536 bytes", IPV6, IP6("\x00\x00", UDP_NUMBER) UDP,
	     A_UDP(6), .more = 65536 - 8),
	CASE("an empty ipv6 packet of no next header", IPV6, IP6("\x00\x00", "\x3b"), NO_PORTS(6, 59)),
	CASE("a length of zero with mere options means it", IPV6,
	     IP6("\x00\x00", "\x00") EXTENSION(UDP_NUMBER) UDP, MALFORMED(6, 0)),
	CASE("a length of zero with mere options is offload from 65536 bytes", IPV6,
	     IP6("\x00\x00", "\x00") EXTENSION(UDP_NUMBER) UDP, A_UDP(6), .more = 65536 - 16),
	CASE("a jumbogram", IPV6, IP6("\x00\x00", "\x00") JUMBO(UDP_NUMBER, "\x00\x01\x00\x00") UDP, A_UDP(6),
	     .more = 65536 - 16),
	CASE("a jumbogram beyond the frame is noted", IPV6,
	     IP6("\x00\x00", "\x00") JUMBO(UDP_NUMBER, "\x00\x01\x00\x01") UDP, A_UDP(6),
	     .more = 65536 - 16, .notes = PM_NOTE_LENGTH),
	CASE("a jumbogram ends at its length", IPV6,
	     IP6("\x00\x00", "\x00") JUMBO(UDP_NUMBER, "\x00\x00\x00\x0b") UDP, MALFORMED(6, 17)),
	CASE("a jumbo option behind padding", IPV6,
	     IP6("\x00\x00", "\x00") "\x11\x01\x00\x01\x03\x00\x00\x00\xc2\x04\x00\x00\x00\x18\x00\x00" UDP,
	     A_UDP(6)),
	CASE("a jumbo option of another size is none", IPV6,
	     IP6("\x00\x00", "\x00") "\x11\x00\xc2\x03\x00\x00\x10\x00" UDP, MALFORMED(6, 0)),
	CASE("a jumbo option cut by its header is none", IPV6,
	     IP6("\x00\x00", "\x00") "\x11\x00\x01\x01\x00\xc2\x04\x00" UDP, MALFORMED(6, 0)),
	CASE("an option's type as the last byte", IPV6,
	     IP6("\x00\x00", "\x00") "\x11\x00\x01\x03\x00\x00\x00\xc2" UDP, MALFORMED(6, 0)),
	CASE("a jumbo option does not count against a length", IPV6,
	     IP6("\x00\x10", "\x00") JUMBO(UDP_NUMBER, "\x00\x00\x00\x08") UDP, A_UDP(6)),
	CASE("a jumbogram's options cut by the capture are truncated", IPV6,
	     IP6("\x00\x00", "\x00") JUMBO(UDP_NUMBER, "\x00\x01\x00\x00") UDP, TRUNCATED(6, 0), .cut = 9),

	/* Fragments of IPv6. */
	CASE("a first fragment of ipv6 has ports", IPV6,
	     IP6("\x00\x10", "\x2c") FRAGMENT6(UDP_NUMBER, "\x00\x01") UDP, A_UDP(6),
	     .notes = PM_NOTE_FIRST_FRAGMENT, .id = 0x000abcde),
	CASE("a later fragment of ipv6 has none", IPV6,
	     IP6("\x00\x10", "\x2c") FRAGMENT6(UDP_NUMBER, "\x00\x09") UDP, LATER(6, 17), .id = 0x000abcde),
	CASE("the last fragment of ipv6 has none", IPV6,
	     IP6("\x00\x10", "\x2c") FRAGMENT6(TCP_NUMBER, "\x00\x08") UDP, LATER(6, 6), .id = 0x000abcde),
	CASE("a later fragment behind options", IPV6,
	     IP6("\x00\x18", "\x00") EXTENSION("\x2c") FRAGMENT6(UDP_NUMBER, "\x00\x08") UDP, LATER(6, 17),
	     .id = 0x000abcde),
	CASE("a later fragment of options may have ports", IPV6,
	     IP6("\x00\x10", "\x2c") FRAGMENT6("\x3c", "\x00\x08") UDP, LATER(6, 60), .id = 0x000abcde),
	CASE("a later fragment of ah in ipv6 may have ports", IPV6,
	     IP6("\x00\x10", "\x2c") FRAGMENT6(AH_NUMBER, "\x00\x08") UDP, LATER(6, 51), .id = 0x000abcde),
	CASE("a later fragment of icmpv6 has a protocol without ports", IPV6,
	     IP6("\x00\x10", "\x2c") FRAGMENT6(ICMP6_NUMBER, "\x00\x08") ICMP, LATER_WITHOUT(6, 58),
	     .id = 0x000abcde),
	CASE("a later fragment of esp in ipv6", IPV6,
	     IP6("\x00\x10", "\x2c") FRAGMENT6(ESP_NUMBER, "\x00\x08") ICMP, LATER_WITHOUT(6, 50),
	     .id = 0x000abcde),
	CASE("a first fragment of options and icmpv6", IPV6,
	     IP6("\x00\x18", "\x2c") FRAGMENT6("\x3c", "\x00\x01") EXTENSION(ICMP6_NUMBER) ICMP,
	     NO_PORTS(6, 58), .notes = PM_NOTE_FIRST_FRAGMENT, .id = 0x000abcde),
	CASE("an atomic fragment is a whole packet", IPV6,
	     IP6("\x00\x10", "\x2c") FRAGMENT6(UDP_NUMBER, "\x00\x00") UDP, A_UDP(6)),
	CASE("reserved bits make no fragment", IPV6,
	     IP6("\x00\x10", "\x2c") FRAGMENT6(UDP_NUMBER, "\x00\x06") UDP, A_UDP(6)),
	CASE("a fragment header cut by the capture is truncated", IPV6,
	     IP6("\x00\x10", "\x2c") FRAGMENT6(UDP_NUMBER, "\x00\x08") UDP, TRUNCATED(6, 44), .cut = 9),
	CASE("half a fragment header is malformed", IPV6,
	     IP6("\x00\x04", "\x2c") FRAGMENT6(UDP_NUMBER, "\x00\x08"), MALFORMED(6, 44)),

	/* Networks of bridges. */
	CASE("a frame bridged as it is", ETHER, ETH(TYPE_BRIDGED) ETH_IP4_UDP, A_UDP(4)),
	CASE("mac in mac", ETHER, ETH(TYPE_ITAG) ITAG ETH_IP4_UDP, A_UDP(4)),
	CASE("mac in mac behind a backbone tag", ETHER,
	     ETH(TYPE_SVLAN) TAG("\x00\x64", TYPE_ITAG) ITAG ETH(TYPE_VLAN) TAG("\x00\x05", TYPE_IP6)
	     IP6_TCP, A_TCP(6), .vlan = 100),
	CASE("mac in mac of a frame to a group", ETHER, ETH(TYPE_ITAG) ITAG ETH_TO_GROUP_IP4_UDP, A_UDP(4),
	     .notes = PM_NOTE_GROUP),
	CASE("mac in mac that is flooded goes to no group", ETHER,
	     MAC_MULTICAST MAC_CLIENT TYPE_ITAG ITAG ETH_IP4_UDP, A_UDP(4)),
	CASE("half an i-tag announces no ip", ETHER, ETH(TYPE_ITAG) "\x20\x01", NON_IP),
	CASE("a redundancy tag", ETHER, ETH(TYPE_RTAG) SIX(TYPE_IP4) IP4_UDP, A_UDP(4)),
	CASE("a redundancy tag behind a vlan tag", ETHER,
	     ETH(TYPE_VLAN) TAG("\x00\x05", TYPE_RTAG) SIX(TYPE_IP6) IP6_TCP, A_TCP(6), .vlan = 5),
	CASE("a redundancy tag before a length field", ETHER, ETH(TYPE_RTAG) SIX("\x00\x1f") LLC_IP IP4_UDP,
	     A_UDP(4)),
	CASE("a redundancy tag before arp", ETHER, ETH(TYPE_RTAG) SIX(TYPE_ARP), NON_IP),
	CASE("half a redundancy tag announces no ip", ETHER, ETH(TYPE_RTAG) "\x12\x34\x56\x78\x08", NON_IP),
	CASE("hsr", ETHER, ETH(TYPE_HSR) SIX(TYPE_IP4) IP4_UDP, A_UDP(4)),
	CASE("a trailer of prp is no payload", ETHER,
	     ETH(TYPE_IP4) IP4_UDP "\x00\x01\xa0\x22\x88\xfb", A_UDP(4)),
	CASE("supervision of prp is not ip", ETHER, ETH("\x88\xfb") SIX(TYPE_IP4) IP4_UDP, NON_IP),
	CASE("vn-tag", ETHER, ETH(TYPE_VNTAG) SIX(TYPE_IP4) IP4_UDP, A_UDP(4)),
	CASE("e-tag", ETHER, ETH(TYPE_ETAG) EIGHT(TYPE_IP6) IP6_TCP, A_TCP(6)),
	CASE("e-tag before a vlan tag", ETHER,
	     ETH(TYPE_ETAG) EIGHT(TYPE_VLAN) TAG("\x00\x05", TYPE_IP4) IP4_UDP, A_UDP(4), .vlan = 5),
	CASE("cisco metadata", ETHER, ETH(TYPE_CMD) EIGHT(TYPE_IP4) IP4_UDP, A_UDP(4)),
	CASE("half of cisco metadata announces no ip", ETHER, ETH(TYPE_CMD) "\x01\x01\x00\x01", NON_IP),
	CASE("macsec in clear", ETHER,
	     ETH(TYPE_MACSEC) SECTAG("\x00", "\x1e") TYPE_IP4 IP4_UDP CHECK_VALUE, A_UDP(4)),
	CASE("macsec in clear with a name", ETHER,
	     ETH(TYPE_MACSEC) SECTAG("\x20", "\x00") SECTAG_NAME TYPE_IP6 IP6_TCP CHECK_VALUE, A_TCP(6)),
	CASE("the check value of macsec is no payload", ETHER,
	     ETH(TYPE_MACSEC) SECTAG("\x00", "\x00") TYPE_IP4 IP4("\x00\x00", UDP_NUMBER) CHECK_VALUE,
	     MALFORMED(4, 17)),
	CASE("the short length of macsec ends the packet", ETHER,
	     ETH(TYPE_MACSEC) SECTAG("\x00", "\x19") TYPE_IP4 IP4("\x00\x00", UDP_NUMBER) UDP CHECK_VALUE,
	     MALFORMED(4, 17)),
	CASE("a short length of macsec beyond the frame", ETHER,
	     ETH(TYPE_MACSEC) SECTAG("\x00", "\x2f") TYPE_IP4 IP4_UDP, A_UDP(4), .notes = PM_NOTE_LENGTH),
	CASE("macsec with nothing but a check value", ETHER,
	     ETH(TYPE_MACSEC) SECTAG("\x00", "\x00") CHECK_VALUE, NON_IP),
	CASE("macsec that is encrypted", ETHER, ETH(TYPE_MACSEC) SECTAG("\x0c", "\x00") TYPE_IP4 IP4_UDP, NON_IP),
	CASE("macsec that is changed", ETHER, ETH(TYPE_MACSEC) SECTAG("\x04", "\x00") TYPE_IP4 IP4_UDP, NON_IP),
	CASE("macsec of its key agreement", ETHER, ETH(TYPE_MACSEC) SECTAG("\x08", "\x00") TYPE_IP4 IP4_UDP,
	     NON_IP),
	CASE("macsec of another version", ETHER, ETH(TYPE_MACSEC) SECTAG("\x80", "\x00") TYPE_IP4 IP4_UDP,
	     NON_IP),
	CASE("half a macsec name announces no ip", ETHER, ETH(TYPE_MACSEC) SECTAG("\x20", "\x00") "\x00\x00",
	     NON_IP),
	CASE("ipv4 in nsh", ETHER, ETH(TYPE_NSH) NSH("\xc2", "\x01") IP4_UDP, A_UDP(4)),
	CASE("ipv6 in nsh with context", ETHER,
	     ETH(TYPE_NSH) NSH("\xc4", "\x02") "\x01\x02\x00\x04\x00\x00\x00\x00" IP6_TCP, A_TCP(6)),
	CASE("ethernet in nsh", ETHER, ETH(TYPE_NSH) NSH("\xc2", "\x03") ETH_IP4_UDP, A_UDP(4)),
	CASE("nsh in nsh", ETHER, ETH(TYPE_NSH) NSH("\xc2", "\x04") NSH("\xc2", "\x01") IP4_UDP, A_UDP(4)),
	CASE("labels in nsh", ETHER, ETH(TYPE_NSH) NSH("\xc2", "\x05") LABEL_BOTTOM IP4_UDP, A_UDP(4)),
	CASE("nsh of something else", ETHER, ETH(TYPE_NSH) NSH("\xc2", "\xfe") IP4_UDP, NON_IP),
	CASE("nsh of another version", ETHER,
	     ETH(TYPE_NSH) "\x4f\xc2\x02\x01\x00\x00\x01\xff" IP4_UDP, NON_IP),
	CASE("nsh shorter than itself is malformed", ETHER, ETH(TYPE_NSH) NSH("\xc1", "\x01") IP4_UDP,
	     MALFORMED(0, 0)),
	CASE("context of nsh beyond the frame announces no ip", ETHER, ETH(TYPE_NSH) NSH("\xff", "\x01") IP4_UDP,
	     NON_IP),
	CASE("trill", ETHER, ETH(TYPE_TRILL) TRILL("\x00") ETH_IP4_UDP, A_UDP(4)),
	CASE("trill with four bytes of options", ETHER,
	     ETH(TYPE_TRILL) "\x00\x7f\x00\x01\x00\x02\x00\x00\x00\x00" ETH_IP4_UDP, A_UDP(4)),
	CASE("trill of another version", ETHER, ETH(TYPE_TRILL) TRILL("\x40") ETH_IP4_UDP, NON_IP),
	CASE("routing of trill is not ip", ETHER, ETH("\x22\xf4") "\x83\x1b", NON_IP),
	CASE("fabricpath", ETHER, ETH(TYPE_FABRICPATH) "\x40\x20" ETH(TYPE_VLAN) TAG("\x00\x07", TYPE_IP4)
	     IP4_UDP, A_UDP(4), .vlan = 7),
	CASE("isl", ETHER, ISL("\x00", "\x00\x3a") ISL_LLC("\x00\x28") ETH_IP4_UDP "\x00\x00\x00\x00\x00\x00\x00\x00",
	     A_UDP(4), .vlan = 20),
	CASE("isl of the other address", ETHER,
	     ISL_TO("\x03\x00\x0c", "\x00", "\x00\x56") ISL_LLC("\x00\x29") ETH_IP6_TCP, A_TCP(6), .vlan = 20),
	CASE("isl and the length of a whole frame", ETHER,
	     ISL("\x01", "\x05\xfa") ISL_LLC("\x00\x28") ETH_IP4_UDP, A_UDP(4), .vlan = 20,
	     .notes = PM_NOTE_LENGTH),
	CASE("isl of a third address", ETHER,
	     ISL_TO("\x0c\x00\x0c", "\x00", "\x00\x36") ISL_LLC("\x00\x28") ETH_IP4_UDP, A_UDP(4), .vlan = 20),
	CASE("isl with user bits", ETHER, ISL("\x03", "\x00\x36") ISL_LLC("\x00\x28") ETH_IP4_UDP, A_UDP(4),
	     .vlan = 20),
	CASE("isl of token ring", ETHER, ISL("\x10", "\x00\x36") ISL_LLC("\x00\x28") ETH_IP4_UDP, NON_IP),
	CASE("the destination of isl before a type", ETHER, ISL("\x00", TYPE_IP4) IP4_UDP, A_UDP(4),
	     .notes = PM_NOTE_GROUP),
	CASE("half an isl header announces no ip", ETHER, ISL("\x00", "\x00\x04") "\xaa\xaa\x03\x00", NON_IP),
	CASE("cisco's discovery is not isl", ETHER,
	     "\x01\x00\x0c\xcc\xcc\xcc" MAC_CLIENT "\x00\x24" SNAP(OUI_ETHERTYPE, TYPE_IP4) IP4_UDP,
	     A_UDP(4), .notes = PM_NOTE_GROUP),
	CASE("a time stamp of 64 bits", ETHER,
	     ETH(TYPE_AVSP) "\x00\x01\x00\x10" "\x00\x00\x00\x01\x00\x00\x00\x02" TYPE_IP4 IP4_UDP, A_UDP(4)),
	CASE("a time stamp of 48 bits", ETHER,
	     ETH(TYPE_AVSP) "\x00\x01\x01\x20" "\x00\x01\x00\x00\x00\x02" TYPE_IP4 IP4_UDP, A_UDP(4)),
	CASE("no kind of time stamp", ETHER,
	     ETH(TYPE_AVSP) "\x00\x02\x00\x20" "\x00\x01\x00\x00\x00\x02" TYPE_IP4 IP4_UDP, NON_IP),
	CASE("a time stamp of another format", ETHER, ETH(TYPE_AVSP) "\x00\x01\x00\x30" SIX(TYPE_IP4) IP4_UDP,
	     NON_IP),
	CASE("a switch tag", ETHER, ETH(TYPE_EDSA) "\x00\x00\xc0\x08\x00\x01" TYPE_IP4 IP4_UDP, A_UDP(4)),
	CASE("a switch tag in the place of a vlan tag", ETHER,
	     ETH(TYPE_EDSA) "\x00\x00\xe0\x08\x20\x05" TYPE_IP6 IP6_TCP, A_TCP(6), .vlan = 5),
	CASE("no switch tag has that mode", ETHER, ETH(TYPE_EDSA) "\x00\x00\x80\x08\x00\x01" TYPE_IP4 IP4_UDP,
	     NON_IP),
	CASE("no switch tag begins so", ETHER, ETH(TYPE_EDSA) "\x00\x01\xc0\x08\x00\x01" TYPE_IP4 IP4_UDP,
	     NON_IP),
	CASE("a mesh's unicast", ETHER, ETH(TYPE_BATMAN) "\x40\x0f\x32\x00" MAC_SERVER ETH_IP4_UDP, A_UDP(4)),
	CASE("a mesh's unicast with a source", ETHER,
	     ETH(TYPE_BATMAN) "\x42\x0f\x32\x00" MAC_SERVER MAC_CLIENT "\x01\x00" ETH_IP6_TCP, A_TCP(6)),
	CASE("a mesh's broadcast", ETHER,
	     ETH(TYPE_BATMAN) "\x01\x0f\x32\x00\x00\x00\x00\x07" MAC_CLIENT ETH_TO_GROUP_IP4_UDP, A_UDP(4),
	     .notes = PM_NOTE_GROUP),
	CASE("a mesh's own packets", ETHER, ETH(TYPE_BATMAN) "\x00\x0f\x32\x00" MAC_SERVER ETH_IP4_UDP, NON_IP),
	CASE("a mesh of another version", ETHER, ETH(TYPE_BATMAN) "\x40\x0e\x32\x00" MAC_SERVER ETH_IP4_UDP,
	     NON_IP),
	CASE("a bridged frame in snap", ETHER,
	     ETH("\x00\x34") SNAP("\x00\x80\xc2", "\x00\x07") "\x00\x00" ETH_IP4_UDP, A_UDP(4)),
	CASE("a bridged frame in snap with its check sequence", ETHER,
	     ETH("\x00\x38") SNAP("\x00\x80\xc2", "\x00\x01") "\x00\x00" ETH_IP4_UDP "\x01\x02\x03\x04",
	     A_UDP(4)),
	CASE("bridged token ring in snap", ETHER,
	     ETH("\x00\x34") SNAP("\x00\x80\xc2", "\x00\x09") "\x00\x00" ETH_IP4_UDP, NON_IP),
	CASE("a bridged frame in ppp", PPP, "\x00\x31" "\x00\x01" ETH_IP4_UDP, A_UDP(4)),
	CASE("a bridged frame in ppp with a number", PPP, "\x00\x31" "\x40\x01\x00\x00\x00\x07" ETH_IP6_TCP,
	     A_TCP(6)),
	CASE("a whole packet in multilink ppp", PPP, PPP_MULTILINK("\xc0") PPP_IP4 IP4_UDP, A_UDP(4)),
	CASE("the first part in multilink ppp", PPP, "\xff\x03" PPP_MULTILINK("\x84") "\x57" IP6_TCP, A_TCP(6)),
	CASE("a later part in multilink ppp", PPP, PPP_MULTILINK("\x40") PPP_IP4 IP4_UDP, NON_IP),
	CASE("multilink ppp with short numbers is not told", PPP, "\x00\x3d" "\xc0\x01" PPP_IP4 IP4_UDP, NON_IP),
	CASE("multilink ppp over ethernet", ETHER, ETH(TYPE_PPPOE) PPPOE("\x00\x24") PPP_MULTILINK("\xc0") PPP_IP4 IP4_UDP,
	     A_UDP(4)),
	CASE("another bridged frame in ppp", PPP, "\x00\x31" "\x00\x02" ETH_IP4_UDP, NON_IP),
	CASE("an empty 802.3 frame has no ip layer", ETHER, ETH("\x00\x00") IP4_UDP, NON_IP),
	CASE("an ethertype of ipv4 with nothing behind it is malformed", ETHER, ETH(TYPE_IP4), MALFORMED(0, 0)),
	CASE("a check sequence is no payload", ETHER, ETH(TYPE_IP4) IP4("\x00\x14", UDP_NUMBER) UDP,
	     MALFORMED(4, 17)),

	/* What no label names. */
	CASE("a pseudowire with a control word", ETHER,
	     ETH(TYPE_MPLS) LABEL_BOTTOM CONTROL_WORD("\x00\x00") ETH_IP4_UDP, A_UDP(4)),
	CASE("a pseudowire with a sequence number", ETHER,
	     ETH(TYPE_MPLS) LABEL LABEL_BOTTOM CONTROL_WORD("\x01\x2c") ETH_IP6_TCP, A_TCP(6)),
	CASE("a pseudowire whose reserved bits are set", ETHER,
	     ETH(TYPE_MPLS) LABEL_BOTTOM "\x0f\x01\x00\x00" ETH_IP4_UDP, A_UDP(4)),
	CASE("a pseudowire with a control word and tags", ETHER,
	     ETH(TYPE_VLAN) TAG("\x00\x05", TYPE_MPLS) LABEL_BOTTOM CONTROL_WORD("\x00\x00")
	     ETH(TYPE_VLAN) TAG("\x00\x09", TYPE_IP4) IP4_UDP, A_UDP(4), .vlan = 5),
	CASE("a pseudowire of a frame to a group", ETHER,
	     ETH(TYPE_MPLS) LABEL_BOTTOM CONTROL_WORD("\x00\x00") ETH_TO_GROUP_IP4_UDP, A_UDP(4),
	     .notes = PM_NOTE_GROUP),
	CASE("a pseudowire with a control word and snap", ETHER,
	     ETH(TYPE_MPLS) LABEL_BOTTOM CONTROL_WORD("\x00\x00") ETH("\x00\x24")
	     SNAP(OUI_ETHERTYPE, TYPE_IP4) IP4_UDP, A_UDP(4)),
	CASE("a pseudowire without a control word", ETHER, ETH(TYPE_MPLS) LABEL_BOTTOM ETH_IP4_UDP, A_UDP(4)),
	CASE("a pseudowire without a control word, ipv6", ETHER, ETH(TYPE_MPLS) LABEL_BOTTOM ETH_IP6_TCP, A_TCP(6)),
	CASE("a pseudowire without a control word, llc", ETHER,
	     ETH(TYPE_MPLS) LABEL_BOTTOM ETH("\x00\x1f") LLC_IP IP4_UDP, A_UDP(4)),
	CASE("a pseudowire without a control word, any nibble", ETHER,
	     ETH(TYPE_MPLS) LABEL_BOTTOM MAC_BROADCAST MAC_CLIENT TYPE_IP4 IP4_UDP, A_UDP(4),
	     .notes = PM_NOTE_GROUP),
	CASE("a pseudowire of arp", ETHER,
	     ETH(TYPE_MPLS) LABEL_BOTTOM CONTROL_WORD("\x00\x00") ETH(TYPE_ARP)
	     "\x00\x01\x08\x00\x06\x04\x00\x01\x00\x00\x00\x00", NON_IP),
	CASE("a type of ipv4 before another version is no pseudowire", ETHER,
	     ETH(TYPE_MPLS) LABEL_BOTTOM CONTROL_WORD("\x00\x00") ETH(TYPE_IP4) IP6_TCP, NON_IP),
	CASE("a type of ipv6 before another version is no pseudowire", ETHER,
	     ETH(TYPE_MPLS) LABEL_BOTTOM CONTROL_WORD("\x00\x00") ETH(TYPE_IP6) IP4_TCP, NON_IP),
	CASE("a length beyond the frame is no pseudowire", ETHER,
	     ETH(TYPE_MPLS) LABEL_BOTTOM CONTROL_WORD("\x00\x00") ETH("\x00\x20") LLC_IP IP4_UDP, NON_IP),
	CASE("a control word has nibble 0", ETHER,
	     ETH(TYPE_MPLS) LABEL_BOTTOM "\x20\x00\x00\x00" ETH_IP4_UDP, NON_IP),
	CASE("a control word alone is not ip", ETHER, ETH(TYPE_MPLS) LABEL_BOTTOM CONTROL_WORD("\x00\x00"),
	     NON_IP),
	CASE("a control word of a cut capture", ETHER,
	     ETH(TYPE_MPLS) LABEL_BOTTOM CONTROL_WORD("\x00\x00") ETH_IP4_UDP, TRUNCATED(0, 0), .cut = 28),
	CASE("both ways make sense, two zeroes are a control word", ETHER,
	     ETH(TYPE_MPLS) LABEL_BOTTOM CONTROL_WORD("\x5e\x00") "\x53\x02\x00\x00\x5e\x00"
	     "\x53\x01\x81\x00\x00\x05" TYPE_IP4 IP4_UDP, A_UDP(4), .notes = PM_NOTE_GROUP),
	CASE("both ways make sense, else none", ETHER,
	     ETH(TYPE_MPLS) LABEL_BOTTOM "\x00\x10\x5e\x00\x53\x02\x00\x00\x5e\x00\x53\x01" TYPE_VLAN
	     TAG("\x00\x05", TYPE_IP4) IP4_UDP, A_UDP(4), .vlan = 5),
	CASE("ipv4 in an associated channel", ETHER, ETH(TYPE_MPLS) LABEL_BOTTOM CHANNEL("\x00\x21") IP4_UDP,
	     A_UDP(4)),
	CASE("ipv6 in an associated channel", ETHER,
	     ETH(TYPE_MPLS) LABEL LABEL_GAL CHANNEL("\x00\x57") IP6_TCP, A_TCP(6)),
	CASE("bfd in an associated channel", ETHER,
	     ETH(TYPE_MPLS) LABEL LABEL_GAL CHANNEL("\x00\x07") "\x20\xc0\x03\x18", NON_IP),
	CASE("an associated channel of another version", ETHER,
	     ETH(TYPE_MPLS) LABEL_BOTTOM "\x11\x00\x00\x21" IP4_UDP, NON_IP),
	CASE("the channel's label before something else", ETHER, ETH(TYPE_MPLS) LABEL_GAL IP4_UDP, NON_IP),
	CASE("half an associated channel announces no ip", ETHER, ETH(TYPE_MPLS) LABEL_BOTTOM "\x10\x00", NON_IP),
	CASE("a pseudowire in a pseudowire", ETHER,
	     ETH(TYPE_MPLS) LABEL_BOTTOM CONTROL_WORD("\x00\x00") ETH(TYPE_MPLS) LABEL_BOTTOM
	     CONTROL_WORD("\x00\x00") ETH_IP4_UDP, A_UDP(4)),
};

static unsigned long briefs; /* frames that had one */

/* The short cut says nothing, or what the whole packet says. */
static void assert_brief_agrees(pm_brief brief, const struct pm_packet *packet)
{
	if (!brief)
		return;
	briefs++;
	assert_int_equal(packet->verdict, PM_VERDICT_PORTS);
	assert_int_equal(pm_brief_ip_version(brief), packet->ip_version);
	assert_int_equal(pm_brief_transport(brief), packet->transport);
	assert_int_equal(pm_brief_src_port(brief), packet->src_port);
	assert_int_equal(pm_brief_dst_port(brief), packet->dst_port);
	assert_int_equal(pm_brief_notes(brief), packet->notes);
	assert_int_equal(pm_brief_tcp_flags(brief), packet->tcp_flags);
}

/* A glimpse of a frame of Ethernet shows nothing, or what the whole packet says. */
static void assert_glimpse_agrees(const uint8_t *bytes, size_t held, size_t wire,
				  const struct pm_packet *packet)
{
	const struct pm_hash_key key = { 0x0123456789abcdef, 0xfedcba9876543211 };
	struct pm_glimpse glimpse;
	size_t size;

	if (!pm_packet_glimpse(bytes, held, wire, &glimpse))
		return;
	size = glimpse.ip_version == 4 ? 4 : 16;
	assert_int_equal(packet->verdict, PM_VERDICT_PORTS);
	assert_int_equal(packet->ip_version, glimpse.ip_version);
	assert_int_equal(packet->transport, glimpse.transport);
	assert_int_equal(packet->src_port, glimpse.ports >> 16);
	assert_int_equal(packet->dst_port, glimpse.ports & 0xffff);
	assert_memory_equal(packet->src.bytes, glimpse.addresses, size);
	assert_memory_equal(packet->dst.bytes, glimpse.addresses + size, size);
	assert_int_equal(pm_glimpse_flow(key, &glimpse),
			 pm_flow_of(key, pm_brief_of(packet), packet->src.bytes,
				    packet->dst.bytes));
	assert_int_equal(packet->setup, glimpse.transport == PM_TRANSPORT_TCP ? PM_SETUP_CONFIRM
									      : PM_SETUP_NONE);
}

/* Decodes from a heap block of exactly @held bytes, so that a sanitizer sees a read past it. */
static struct pm_packet decode(uint32_t link, const void *bytes, size_t held, size_t wire)
{
	uint8_t *copy = malloc(held ? held : 1);
	struct pm_packet packet;

	assert_non_null(copy);
	if (held)
		memcpy(copy, bytes, held);
	memset(&packet, 0xa5, sizeof packet);
	pm_packet_decode(pm_link_find(link), copy, held, wire, &packet);
	assert_brief_agrees(pm_packet_brief(pm_link_find(link), copy, held, wire), &packet);
	if (link == 1)
		assert_glimpse_agrees(copy, held, wire, &packet);
	free(copy);
	return packet;
}

/* The padding of a struct has no value, so no memcmp. */
static void assert_same(const struct pm_packet *a, const struct pm_packet *b)
{
	assert_int_equal(a->verdict, b->verdict);
	assert_int_equal(a->ip_version, b->ip_version);
	assert_int_equal(a->ip_protocol, b->ip_protocol);
	assert_int_equal(a->transport, b->transport);
	assert_int_equal(a->src_port, b->src_port);
	assert_int_equal(a->dst_port, b->dst_port);
	assert_int_equal(a->vlan, b->vlan);
	assert_int_equal(a->notes, b->notes);
	assert_int_equal(a->tcp_flags, b->tcp_flags);
	assert_int_equal(a->fragment_id, b->fragment_id);
	assert_int_equal(a->fragment_protocol, b->fragment_protocol);
	assert_memory_equal(&a->src, &b->src, sizeof a->src);
	assert_memory_equal(&a->dst, &b->dst, sizeof a->dst);
}

static struct pm_packet decode_case(const struct decode_case *k)
{
	return decode(k->link, k->bytes, k->size - k->cut, k->size + k->more);
}

static void decode_case_holds(void **state)
{
	static const struct pm_address client4 = { ADDRESS4_CLIENT }, client6 = { ADDRESS6_CLIENT };
	static const struct pm_address none;
	const struct decode_case *k = *state;
	const struct pm_address *src = &none;
	struct pm_packet p = decode_case(k);

	if (k->version)
		src = k->version == 4 ? &client4 : &client6;

	assert_string_equal(pm_verdict_name(p.verdict), pm_verdict_name(k->verdict));
	assert_int_equal(p.ip_version, k->version);
	assert_int_equal(p.ip_protocol, k->protocol);
	assert_int_equal(p.vlan, k->vlan);
	assert_int_equal(p.notes, k->notes | (k->tcp_flags ? PM_NOTE_TCP_FLAGS : 0));
	assert_int_equal(p.tcp_flags, k->tcp_flags);
	assert_int_equal(p.fragment_id, k->id);
	assert_memory_equal(&p.src, src, sizeof *src);
	if (k->verdict == PM_VERDICT_PORTS) {
		assert_int_equal(p.transport, k->transport);
		assert_int_equal(p.src_port, k->src);
		assert_int_equal(p.dst_port, k->dst);
	}
}

/* A capture cut anywhere gives the same or is truncated, and once it is known it stays so. */
static void a_cut_capture_gives_the_same_or_is_truncated(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		const struct decode_case *k = &cases[i];
		struct pm_packet full = decode_case(k);
		bool known = false;

		for (size_t held = 0; held <= k->size - k->cut; held++) {
			struct pm_packet p = decode(k->link, k->bytes, held, k->size + k->more);

			if (!known && p.verdict == PM_VERDICT_HEADER_TRUNCATED)
				continue;
			known = true;
			assert_int_equal(p.verdict, full.verdict);
			assert_int_equal(p.ip_protocol, full.ip_protocol);
			assert_int_equal(p.src_port, full.src_port);
			assert_int_equal(p.dst_port, full.dst_port);
			assert_int_equal(p.fragment_id, full.fragment_id);
		}
		assert_true(known || full.verdict == PM_VERDICT_HEADER_TRUNCATED);
	}
}

/*
 * A frame that ends anywhere on the wire gives the same verdict and ports, or is malformed, or ends
 * before it has an IP layer.
 */
static void a_short_frame_gives_the_same_or_is_malformed_or_announces_no_ip(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		const struct decode_case *k = &cases[i];
		struct pm_packet full = decode_case(k);

		if (k->more || k->cut)
			continue;
		for (size_t wire = 0; wire <= k->size; wire++) {
			struct pm_packet p = decode(k->link, k->bytes, wire, wire);

			if (p.verdict == PM_VERDICT_MALFORMED)
				continue;
			if (p.verdict == PM_VERDICT_NON_IP && p.ip_version == 0)
				continue;
			assert_int_equal(p.verdict, full.verdict);
			assert_int_equal(p.src_port, full.src_port);
			assert_int_equal(p.dst_port, full.dst_port);
		}
	}
}

static uint64_t xorshift(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state;
}

/* Damaged frames of every link type: a verdict in range, the same each time, ports only with IP. */
static void damage_gives_a_verdict_and_always_the_same(void **state)
{
	uint64_t random = UINT64_C(0x9e3779b97f4a7c15);

	(void)state;
	for (int round = 0; round < 50; round++) {
		for (size_t i = 0; i < COUNT(cases); i++) {
			const struct decode_case *k = &cases[i];
			uint8_t bytes[256];
			size_t size = k->size, held;
			struct pm_packet first, second;

			assert_true(size <= sizeof bytes);
			memcpy(bytes, k->bytes, size);
			for (uint64_t n = xorshift(&random) % 4; size && n > 0; n--)
				bytes[xorshift(&random) % size] = (uint8_t)xorshift(&random);
			held = xorshift(&random) % (size + 1);
			first = decode(k->link, bytes, held, size);
			second = decode(k->link, bytes, held, size);
			assert_true(first.verdict < PM_VERDICT_N);
			assert_same(&first, &second);
			if (first.verdict == PM_VERDICT_PORTS)
				assert_true(first.ip_version != 0);
			if (first.verdict == PM_VERDICT_FRAGMENT)
				assert_true(first.ip_version == 4 || first.ip_version == 6);
		}
	}
}

/* @piece again and again behind @head, then @tail, as one frame; the caller frees it. */
static uint8_t *repeated(const char *head, size_t head_size, const char *piece, size_t piece_size,
			 size_t times, const char *tail, size_t tail_size, size_t *ret_size)
{
	size_t size = head_size + piece_size * times + tail_size;
	uint8_t *frame = malloc(size);

	assert_non_null(frame);
	memcpy(frame, head, head_size);
	for (size_t i = 0; i < times; i++)
		memcpy(frame + head_size + i * piece_size, piece, piece_size);
	memcpy(frame + head_size + piece_size * times, tail, tail_size);
	*ret_size = size;
	return frame;
}

#define LITERAL(text) text, sizeof(text) - 1

static void assert_chain(uint32_t link, const char *head, size_t head_size, const char *piece,
			 size_t piece_size, size_t times, const char *tail, size_t tail_size,
			 enum pm_verdict verdict)
{
	size_t size;
	uint8_t *frame;
	struct pm_packet p;

	frame = repeated(head, head_size, piece, piece_size, times, tail, tail_size, &size);
	p = decode(link, frame, size, size);

	free(frame);
	assert_string_equal(pm_verdict_name(p.verdict), pm_verdict_name(verdict));
}

/* Ethernet, IPv4 and UDP are three of the 32 layers. */
static void thirty_two_layers_are_read(void **state)
{
	(void)state;
	assert_chain(ETHER, LITERAL(ETH(TYPE_VLAN)), LITERAL(TAG("\x00\x05", TYPE_VLAN)), 28,
		     LITERAL(TAG("\x00\x05", TYPE_IP4) IP4_UDP), PM_VERDICT_PORTS);
}

static void thirty_three_layers_are_malformed(void **state)
{
	(void)state;
	assert_chain(ETHER, LITERAL(ETH(TYPE_VLAN)), LITERAL(TAG("\x00\x05", TYPE_VLAN)), 29,
		     LITERAL(TAG("\x00\x05", TYPE_IP4) IP4_UDP), PM_VERDICT_MALFORMED);
}

static void tags_of_64_kib_are_malformed(void **state)
{
	(void)state;
	assert_chain(ETHER, LITERAL(ETH(TYPE_VLAN)), LITERAL(TAG("\x00\x05", TYPE_VLAN)), 16384,
		     LITERAL(TAG("\x00\x05", TYPE_IP4) IP4_UDP), PM_VERDICT_MALFORMED);
}

static void labels_of_64_kib_are_malformed(void **state)
{
	(void)state;
	assert_chain(ETHER, LITERAL(ETH(TYPE_MPLS)), LITERAL(LABEL), 16384,
		     LITERAL(LABEL_BOTTOM IP4_UDP), PM_VERDICT_MALFORMED);
}

static void snap_in_snap_is_malformed(void **state)
{
	(void)state;
	assert_chain(ETHER, LITERAL(ETH(TYPE_LLC_JUMBO)),
		     LITERAL(SNAP(OUI_ETHERTYPE, TYPE_LLC_JUMBO)), 8192, LITERAL(LLC_IP IP4_UDP),
		     PM_VERDICT_MALFORMED);
}

static void extension_headers_of_64_kib_are_malformed(void **state)
{
	(void)state;
	assert_chain(IPV6, LITERAL(IP6("\xff\xf8", "\x3c")), LITERAL(EXTENSION("\x3c")), 8190,
		     LITERAL(EXTENSION(UDP_NUMBER) UDP), PM_VERDICT_MALFORMED);
}

static void ah_of_64_kib_is_malformed(void **state)
{
	(void)state;
	assert_chain(IPV4, LITERAL(IP4("\xff\xff", AH_NUMBER)), LITERAL(AH_12(AH_NUMBER)), 5400,
		     LITERAL(AH_12(UDP_NUMBER) UDP), PM_VERDICT_MALFORMED);
}

/* Hop-by-hop options hold at most 2 KiB: the search for a jumbo option sees no more. */
static void two_kib_of_padding_options_hide_no_jumbo_option(void **state)
{
	(void)state;
	assert_chain(IPV6, LITERAL(IP6("\x00\x00", "\x00") "\x11\xff"), LITERAL("\x00"), 2040,
		     LITERAL("\xc2\x04\x00\x00\x08\x08" UDP), PM_VERDICT_PORTS);
}

static void bytes_behind_the_frame_are_not_read(void **state)
{
	static const char frame[] = ETH(TYPE_IP4) IP4("\x00\x00", UDP_NUMBER) UDP;
	struct pm_packet p = decode(ETHER, frame, sizeof frame - 1, sizeof frame - 1 - 5);

	(void)state;
	assert_int_equal(p.verdict, PM_VERDICT_MALFORMED);
}

/* The short cut knows nothing of ISL: what it takes must be what the loop takes for IP as well. */
static void a_destination_of_isl_matters_only_before_a_length(void **state)
{
	static const char *const tails[] = { IP4_TCP, IP6_TCP };
	static const size_t sizes[] = { sizeof(IP4_TCP) - 1, sizeof(IP6_TCP) - 1 };

	(void)state;
	for (unsigned type = 0; type <= UINT16_MAX; type++) {
		for (size_t i = 0; i < COUNT(tails); i++) {
			uint8_t frame[128] = { i ? 3 : 1, 0, 0x0c };
			bool ip = type == (i ? 0x86dd : 0x0800);
			struct pm_packet p;

			frame[12] = (uint8_t)(type >> 8);
			frame[13] = (uint8_t)type;
			memcpy(frame + 14, tails[i], sizes[i]);
			p = decode(ETHER, frame, 14 + sizes[i], 14 + sizes[i]);
			assert_int_equal(p.verdict == PM_VERDICT_PORTS, ip);
		}
	}
}

static void addresses_stand_in_their_places(void **state)
{
	static const struct pm_address server4 = { ADDRESS4_SERVER }, server6 = { ADDRESS6_SERVER };
	struct pm_packet p4 = decode(IPV4, LITERAL(IP4_UDP), 28);
	struct pm_packet p6 = decode(IPV6, LITERAL(IP6_UDP), 48);

	(void)state;
	assert_memory_equal(&p4.dst, &server4, sizeof server4);
	assert_memory_equal(&p6.dst, &server6, sizeof server6);
}

/* Behind AH the protocol is another, but a datagram is named by the one in its IPv4 header. */
static void a_fragment_is_named_by_the_protocol_of_its_ipv4_header(void **state)
{
	struct pm_packet first = decode(
		IPV4, LITERAL(IP4_FRAGMENT("\x00\x28", "\x20\x00", AH_NUMBER) AH_12(UDP_NUMBER) UDP), 40);
	struct pm_packet later =
		decode(IPV4, LITERAL(IP4_FRAGMENT("\x00\x1c", "\x00\x01", AH_NUMBER) UDP), 28);
	struct pm_packet ipv6 =
		decode(IPV6, LITERAL(IP6("\x00\x10", "\x2c") FRAGMENT6(UDP_NUMBER, "\x00\x08") UDP), 56);
	struct pm_packet whole = decode(IPV4, LITERAL(IP4_UDP), 28);

	(void)state;
	assert_int_equal(first.ip_protocol, 17);
	assert_int_equal(first.fragment_protocol, 51);
	assert_int_equal(later.fragment_protocol, 51);
	assert_int_equal(ipv6.fragment_protocol, 0);
	assert_int_equal(whole.fragment_protocol, 0);
}

static void link_types_are_found_by_number_and_listed_by_index(void **state)
{
	static const struct {
		uint32_t number;
		const char *name;
	} known[] = {
		{ NULLL, "NULL" },
		{ ETHER, "EN10MB" },
		{ PPP, "PPP" },
		{ RAW_12, "RAW" },
		{ RAW_14, "RAW" },
		{ PPP_SERIAL, "PPP_SERIAL" },
		{ PPP_ETHER, "PPP_ETHER" },
		{ RAW, "RAW" },
		{ WIFI, "IEEE802_11" },
		{ WIFI_PRISM, "PRISM_HEADER" },
		{ WIFI_RADIOTAP, "IEEE802_11_RADIO" },
		{ WIFI_AVS, "IEEE802_11_RADIO_AVS" },
		{ PPI, "PPI" },
		{ LOOP, "LOOP" },
		{ COOKED, "LINUX_SLL" },
		{ IPV4, "IPV4" },
		{ IPV6, "IPV6" },
		{ COOKED_2, "LINUX_SLL2" },
	};
	size_t n = 0;

	(void)state;
	for (size_t i = 0; i < COUNT(known); i++) {
		const struct pm_link *link = pm_link_find(known[i].number);

		assert_non_null(link);
		assert_int_equal(pm_link_number(link), known[i].number);
		assert_string_equal(pm_link_name(link), known[i].name);
	}
	assert_null(pm_link_find(NO_LINK));
	for (const struct pm_link *link; (link = pm_link_at(n)) != NULL; n++)
		assert_ptr_equal(pm_link_find(pm_link_number(link)), link);
	assert_true(n >= COUNT(known));
	assert_null(pm_link_at(SIZE_MAX));
}

static void transports_are_found_by_name_in_any_case(void **state)
{
	enum pm_transport found;

	(void)state;
	for (unsigned t = 0; t < PM_TRANSPORT_N; t++) {
		const char *name = pm_transport_name((enum pm_transport)t);

		assert_true(pm_transport_find(name, strlen(name), &found));
		assert_int_equal(found, t);
	}
	assert_true(pm_transport_find("UdpLite,", 7, &found));
	assert_int_equal(found, PM_TRANSPORT_UDPLITE);
	found = PM_TRANSPORT_DCCP;
	assert_false(pm_transport_find("udplite", 6, &found));
	assert_false(pm_transport_find("tcpx", 4, &found));
	assert_false(pm_transport_find("", 0, &found));
	assert_int_equal(found, PM_TRANSPORT_DCCP);
}

static void verdicts_bear_the_names_of_the_record(void **state)
{
	static const char *const names[] = { "ports", "non_ip", "no_ports_protocol",
					     "fragment_orphan", "header_truncated", "malformed" };

	(void)state;
	assert_int_equal(COUNT(names), PM_VERDICT_N);
	for (unsigned v = 0; v < PM_VERDICT_N; v++)
		assert_string_equal(pm_verdict_name((enum pm_verdict)v), names[v]);
}

/* Those of a size that is read the quick way, sent to one host of the link: RFC 4291, 2.7. */
static void groups_of_ip6_are_seen(void)
{
	uint8_t bytes[80] = { 2, [12] = 0x86, [13] = 0xdd, [14] = 0x60, [19] = 26, [20] = 17,
			      [22] = 0x20, [38] = 0xff, [39] = 2, [53] = 0xfb, [54] = 0x14,
			      [55] = 0xe9, [56] = 0x14, [57] = 0xe9, [59] = 26 };

	assert_int_equal(decode(1, bytes, sizeof bytes, sizeof bytes).notes, PM_NOTE_GROUP);
	bytes[38] = 0xfe;
	assert_int_equal(decode(1, bytes, sizeof bytes, sizeof bytes).notes, 0);
	assert_true(pm_packet_quick_ip6(bytes, sizeof bytes, sizeof bytes));
}

/* Of a heap block of exactly @held bytes, as decode. */
static void assert_quick_agrees(const uint8_t *bytes, size_t held, size_t wire)
{
	struct pm_packet packet = decode(ETHER, bytes, held, wire);
	uint8_t *copy = malloc(held);
	pm_brief quick;

	assert_non_null(copy);
	memcpy(copy, bytes, held);
	quick = pm_packet_quick(copy, held, wire);
	free(copy);
	if (quick)
		assert_brief_agrees(quick, &packet);
}

/* Byte by byte, so that each of its conditions is met and missed. It may leave any to others. */
static void the_quick_way_says_the_same_or_nothing(void **state)
{
	static const uint8_t protocols[] = { 6, 17 };
	static const size_t sizes[] = { 34, 47, 48, 63, 64, 65 };

	(void)state;
	for (size_t p = 0; p < COUNT(protocols); p++) {
		uint8_t bytes[65] = { 2, [12] = 8, [14] = 0x45, [17] = 50, [22] = 64,
				      [23] = protocols[p], [26] = 192, [28] = 2, [29] = 1,
				      [30] = 198, [31] = 51, [32] = 100, [33] = 1, [34] = 0x9c,
				      [35] = 0x40, [37] = 80, [39] = 30, [46] = 0x50, [47] = 16 };

		assert_true(pm_packet_quick(bytes, 64, 64));
		for (size_t at = 0; at < 48; at++) {
			uint8_t kept = bytes[at];

			for (unsigned value = 0; value < 256; value++) {
				bytes[at] = (uint8_t)value;
				for (size_t i = 0; i < COUNT(sizes) * COUNT(sizes); i++)
					assert_quick_agrees(bytes, sizes[i / COUNT(sizes)],
							    sizes[i % COUNT(sizes)]);
			}
			bytes[at] = kept;
		}
	}
}

/* Or else assert_brief_agrees would have held on nothing. */
static void the_commonest_stacks_have_a_brief(void **state)
{
	static const char tcp4[] = ETH("\x08\x00") IP4_TCP;
	static const char udp6[] = ETH("\x86\xdd") IP6_UDP;
#define VLAN_IP4 TAG("\x00\x05", TYPE_IP4) IP4_TCP
#define VLAN_VLAN TAG("\x00\x05", TYPE_VLAN)
	static const char one[] = ETH(TYPE_VLAN) VLAN_IP4;
	static const char two[] = ETH(TYPE_SVLAN) VLAN_VLAN VLAN_IP4;
	static const char three[] = ETH(TYPE_SVLAN) VLAN_VLAN VLAN_VLAN VLAN_IP4;
	static const struct {
		const char *bytes;
		size_t size;
	} tagged[] = {
		{ one, sizeof one - 1 },
		{ two, sizeof two - 1 },
		{ three, sizeof three - 1 },
	};
	const struct pm_link *ethernet = pm_link_find(1);

	(void)state;
	assert_true(
		pm_packet_brief(ethernet, (const uint8_t *)tcp4, sizeof tcp4 - 1, sizeof tcp4 - 1));
	assert_true(
		pm_packet_brief(ethernet, (const uint8_t *)udp6, sizeof udp6 - 1, sizeof udp6 - 1));
	for (size_t i = 0; i < COUNT(tagged); i++)
		assert_int_equal(pm_packet_brief(ethernet, (const uint8_t *)tagged[i].bytes,
						 tagged[i].size, tagged[i].size) != 0,
				 i < 2);
	assert_false(pm_packet_brief(pm_link_find(101), (const uint8_t *)tcp4, sizeof tcp4 - 1,
				     sizeof tcp4 - 1));
	groups_of_ip6_are_seen();
	assert_true(briefs > 100);
}

static void a_glimpse_shows_what_most_frames_are(void **state)
{
	static const char tcp4[] = ETH(TYPE_IP4) IP4_TCP, tcp6[] = ETH(TYPE_IP6) IP6_TCP;
	static const struct {
		const char *frame;
		size_t size, at; /* where a byte is another */
		uint8_t byte;
		bool shown;
	} glimpses[] = {
		{ tcp4, 54, 47, PM_TCP_ACK, true },
		{ tcp4, 54, 47, PM_TCP_ACK | PM_TCP_PSH | PM_TCP_FIN, true },
		{ tcp4, 54, 47, PM_TCP_ACK | PM_TCP_SYN, false },
		{ tcp4, 54, 47, PM_TCP_ACK | PM_TCP_RST, false },
		{ tcp4, 54, 47, PM_TCP_SYN, false },
		{ tcp4, 54, 47, PM_TCP_FIN, false },
		{ tcp4, 54, 23, 17, true }, /* UDP */
		{ tcp4, 54, 23, 132, false }, /* SCTP */
		{ tcp4, 54, 23, 1, false },
		{ tcp4, 54, 0, 0x01, false },  /* to a group */
		{ tcp4, 54, 12, 0x81, false }, /* no type of IP */
		{ tcp4, 54, 14, 0x46, false }, /* options */
		{ tcp4, 54, 14, 0x65, false },
		{ tcp4, 54, 17, 41, false }, /* longer than the frame */
		{ tcp4, 54, 17, 33, false }, /* too short for TCP's flags */
		{ tcp4, 54, 20, 0x40, true }, /* don't fragment */
		{ tcp4, 54, 20, 0x20, false },
		{ tcp4, 54, 21, 1, false },
		{ tcp4, 47, 13, 0x00, false }, /* cut */
		{ tcp4, 48, 17, 34, true },
		{ tcp6, 74, 67, PM_TCP_ACK, true },
		{ tcp6, 74, 67, PM_TCP_ACK | PM_TCP_RST, false },
		{ tcp6, 74, 67, PM_TCP_SYN, false },
		{ tcp6, 74, 20, 17, true },
		{ tcp6, 74, 20, 44, false }, /* a fragment */
		{ tcp6, 74, 0, 0x33, false },
		{ tcp6, 74, 14, 0x40, false },
		{ tcp6, 74, 19, 21, false },
		{ tcp6, 74, 19, 13, false },
		{ tcp6, 67, 13, 0xdd, false },
		{ tcp6, 68, 19, 14, true },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(glimpses); i++) {
		uint8_t bytes[74];
		struct pm_glimpse glimpse;

		memcpy(bytes, glimpses[i].frame, glimpses[i].size);
		if (glimpses[i].at < 47 || glimpses[i].at == 67) /* unless that is what is tried */
			bytes[glimpses[i].frame == tcp4 ? 47 : 67] = PM_TCP_ACK;
		bytes[glimpses[i].at] = glimpses[i].byte;
		if (pm_packet_glimpse(bytes, glimpses[i].size, glimpses[i].size, &glimpse) !=
		    glimpses[i].shown)
			fail_msg("case %d", (int)i);
		decode(1, bytes, glimpses[i].size, glimpses[i].size);
	}
}

static const struct CMUnitTest properties[] = {
	cmocka_unit_test(a_cut_capture_gives_the_same_or_is_truncated),
	cmocka_unit_test(a_short_frame_gives_the_same_or_is_malformed_or_announces_no_ip),
	cmocka_unit_test(damage_gives_a_verdict_and_always_the_same),
	cmocka_unit_test(thirty_two_layers_are_read),
	cmocka_unit_test(thirty_three_layers_are_malformed),
	cmocka_unit_test(tags_of_64_kib_are_malformed),
	cmocka_unit_test(labels_of_64_kib_are_malformed),
	cmocka_unit_test(snap_in_snap_is_malformed),
	cmocka_unit_test(extension_headers_of_64_kib_are_malformed),
	cmocka_unit_test(ah_of_64_kib_is_malformed),
	cmocka_unit_test(two_kib_of_padding_options_hide_no_jumbo_option),
	cmocka_unit_test(bytes_behind_the_frame_are_not_read),
	cmocka_unit_test(a_destination_of_isl_matters_only_before_a_length),
	cmocka_unit_test(addresses_stand_in_their_places),
	cmocka_unit_test(a_fragment_is_named_by_the_protocol_of_its_ipv4_header),
	cmocka_unit_test(link_types_are_found_by_number_and_listed_by_index),
	cmocka_unit_test(transports_are_found_by_name_in_any_case),
	cmocka_unit_test(verdicts_bear_the_names_of_the_record),
	cmocka_unit_test(the_quick_way_says_the_same_or_nothing),
	cmocka_unit_test(the_commonest_stacks_have_a_brief),
	cmocka_unit_test(a_glimpse_shows_what_most_frames_are),
};

int main(void)
{
	struct CMUnitTest tests[COUNT(cases) + COUNT(properties)];

	for (size_t i = 0; i < COUNT(cases); i++)
		tests[i] = (struct CMUnitTest){ cases[i].name, decode_case_holds, NULL, NULL,
						(void *)(uintptr_t)&cases[i] };
	memcpy(tests + COUNT(cases), properties, sizeof properties);
	return _cmocka_run_group_tests("packet", tests, COUNT(tests), NULL, NULL);
}
