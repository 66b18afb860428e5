/* SPDX-License-Identifier: MIT */
/*
 * Pieces of frames as string literals, to be put one behind the other. Addresses and ports are
 * those of documentation (RFC 5737, 3849, 6676, 7042), from client 49152 to the service's port.
 */
#ifndef PORTMETER_TESTS_FRAMES_H
#define PORTMETER_TESTS_FRAMES_H

/* Link layer. */
#define MAC_CLIENT "\x00\x00\x5e\x00\x53\x01"
#define MAC_SERVER "\x00\x00\x5e\x00\x53\x02"
#define MAC_MULTICAST "\x01\x00\x5e\x90\x10\x01"
#define MAC_BROADCAST "\xff\xff\xff\xff\xff\xff"
#define ETH(type) MAC_SERVER MAC_CLIENT type
#define TAG(tci, type) tci type /* behind the tag's own type */

#define TYPE_IP4 "\x08\x00"
#define TYPE_ARP "\x08\x06"
#define TYPE_VLAN "\x81\x00"
#define TYPE_SVLAN "\x88\xa8"
#define TYPE_IP6 "\x86\xdd"
#define TYPE_MPLS "\x88\x47"
#define TYPE_PPPOE "\x88\x64"
#define TYPE_LLC_JUMBO "\x88\x70"

#define LLC_IP "\x06\x06\x03"
#define SNAP(oui, type) "\xaa\xaa\x03" oui type
#define OUI_ETHERTYPE "\x00\x00\x00"

#define LABEL "\x00\x06\x40\x40"        /* label 100 */
#define LABELS_5 LABEL LABEL LABEL LABEL LABEL
#define LABEL_BOTTOM "\x00\x06\x51\x40" /* label 101, the last of its stack */

#define PPPOE(length) "\x11\x00\x00\x2a" length /* a session */
#define PPP_MULTILINK(place) "\x00\x3d" place "\x00\x00\x07"
#define PPP_IP4 "\x00\x21"
#define PPP_IP6 "\x00\x57"

/* Linux cooked: packet type, hardware type (1: Ethernet), protocol. */
#define SLL(type, hardware, protocol) type hardware "\x00\x06" MAC_CLIENT "\x00\x00" protocol
#define SLL2(type, hardware, protocol) \
	protocol "\x00\x00\x00\x00\x00\x02" hardware type "\x06" MAC_CLIENT "\x00\x00"
#define HARDWARE_ETHERNET "\x00\x01"

/* Headers of bridged networks; a type's two bytes where a tag ends with one. */
#define TYPE_BRIDGED "\x65\x58"
#define TYPE_ITAG "\x88\xe7"
#define TYPE_RTAG "\xf1\xc1"
#define TYPE_ETAG "\x89\x3f"
#define TYPE_VNTAG "\x89\x26"
#define TYPE_HSR "\x89\x2f"
#define TYPE_MACSEC "\x88\xe5"
#define TYPE_NSH "\x89\x4f"
#define TYPE_TRILL "\x22\xf3"
#define TYPE_FABRICPATH "\x89\x03"
#define TYPE_CMD "\x89\x09"
#define TYPE_AVSP "\xd2\x8b"
#define TYPE_EDSA "\xda\xda"
#define TYPE_BATMAN "\x43\x05"
#define ETH_IP4_UDP ETH(TYPE_IP4) IP4_UDP /* 42 bytes */
#define ETH_IP6_TCP ETH(TYPE_IP6) IP6_TCP
#define ETH_TO_GROUP_IP4_UDP MAC_MULTICAST MAC_CLIENT TYPE_IP4 IP4_UDP
#define ISL_TO(address, type, length) address "\x00\x00" type MAC_CLIENT length
#define ISL(type, length) ISL_TO("\x01\x00\x0c", type, length)
#define ISL_LLC(vlan) "\xaa\xaa\x03\x00\x00\x0c" vlan "\x00\x00\x00\x00"
#define ITAG "\x20\x01\x02\x03"
#define SIX(type) "\x12\x34\x56\x78" type
#define EIGHT(type) "\x01\x01\x00\x01\x00\x63" type
#define SECTAG(flags, length) flags length "\x00\x00\x00\x07"
#define SECTAG_NAME "\x00\x00\x5e\x00\x53\x09\x00\x01"
#define CHECK_VALUE "\xca\xfe\xca\xfe\xca\xfe\xca\xfe\xca\xfe\xca\xfe\xca\xfe\xca\xfe"
#define NSH(size, next) "\x0f" size "\x02" next "\x00\x00\x01\xff"
#define TRILL(first) first "\x3f\x00\x01\x00\x02"
#define LABEL_GAL "\x00\x00\xd1\x40"
#define CONTROL_WORD(sequence) "\x00\x00" sequence
#define CHANNEL(type) "\x10\x00" type

/* IPv4; total length and the numbers of protocols as bytes. */
#define ADDRESS4_CLIENT "\xc0\x00\x02\x01"
#define ADDRESS4_SERVER "\xc6\x33\x64\x02"
#define ADDRESS4_MULTICAST "\xe9\xfc\x00\x01"
#define IP4_WHOLE(version_size, total, id, place, protocol, dst) \
	version_size "\x00" total id place "\x40" protocol "\x00\x00" ADDRESS4_CLIENT dst
#define IP4(total, protocol) \
	IP4_WHOLE("\x45", total, "\x00\x00", "\x40\x00", protocol, ADDRESS4_SERVER)
#define IP4_SIZED(version_size, total) \
	IP4_WHOLE(version_size, total, "\x00\x00", "\x00\x00", UDP_NUMBER, ADDRESS4_SERVER)
#define OPTIONS_4 "\x01\x01\x01\x00"
#define OPTIONS_20 OPTIONS_4 OPTIONS_4 OPTIONS_4 OPTIONS_4 OPTIONS_4
#define IP4_TO(dst) IP4_WHOLE("\x45", "\x00\x1c", "\x00\x00", "\x40\x00", UDP_NUMBER, dst)
#define IP4_FRAGMENT(total, place, protocol) \
	IP4_WHOLE("\x45", total, "\x12\x34", place, protocol, ADDRESS4_SERVER)

/* IPv6. */
#define ADDRESS6_CLIENT "\x20\x01\x0d\xb8\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01"
#define ADDRESS6_SERVER "\x20\x01\x0d\xb8\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02"
#define ADDRESS6_MULTICAST "\xff\x0e\x00\x00\x00\x00\x00\x00\x00\x00\x0d\xb8\x00\x00\x00\x01"
#define IP6_TO(payload, next, dst) "\x60\x00\x00\x00" payload next "\x40" ADDRESS6_CLIENT dst
#define IP6(payload, next) IP6_TO(payload, next, ADDRESS6_SERVER)

/* Extension headers of 8 bytes, with a PadN option where there are options. */
#define EXTENSION(next) next "\x00\x01\x04\x00\x00\x00\x00"
#define JUMBO(next, length) next "\x00\xc2\x04" length
#define FRAGMENT6(next, place) next "\x00" place "\x00\x0a\xbc\xde"
/* AH: sizes in 4-byte units less 2; without a check value, and with one of 12 bytes. */
#define AH_12(next) next "\x01\x00\x00\x00\x00\x01\x00\x00\x00\x00\x01"
#define AH_24(next) \
	next "\x04\x00\x00\x00\x00\x01\x00\x00\x00\x00\x01" \
	     "\xaa\xbb\xcc\xdd\xaa\xbb\xcc\xdd\xaa\xbb\xcc\xdd"

#define ICMP_NUMBER "\x01"
#define TCP_NUMBER "\x06"
#define UDP_NUMBER "\x11"
#define DCCP_NUMBER "\x21"
#define ESP_NUMBER "\x32"
#define AH_NUMBER "\x33"
#define ICMP6_NUMBER "\x3a"
#define SCTP_NUMBER "\x84"
#define UDPLITE_NUMBER "\x88"

/* Transports. */
#define UDP "\xc0\x00\x00\x35\x00\x08\x00\x00"
#define UDPLITE "\xc0\x00\x00\x35\x00\x08\x00\x00"
#define TCP_FLAGS(flags) \
	"\xc0\x00\x01\xbb\x00\x00\x00\x01\x00\x00\x00\x00\x50" flags "\xff\xff\x00\x00\x00\x00"
#define TCP TCP_FLAGS("\x02")
#define SCTP "\xc0\x00\x0b\x59\x00\x00\x00\x01\x00\x00\x00\x00"
#define DCCP "\xc0\x00\x14\x51\x04\x00\x00\x00\x00\x00\x00\x01\x00\x00\x00\x00"
#define ICMP "\x08\x00\x00\x00\x00\x01\x00\x01"

/* Whole packets. */
#define IP4_UDP IP4("\x00\x1c", UDP_NUMBER) UDP
#define IP4_TCP IP4("\x00\x28", TCP_NUMBER) TCP
#define IP6_UDP IP6("\x00\x08", UDP_NUMBER) UDP
#define IP6_TCP IP6("\x00\x14", TCP_NUMBER) TCP

#endif
