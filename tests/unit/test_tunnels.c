/* SPDX-License-Identifier: MIT */
/* The way inwards: which IP layer is the innermost, and what carries the fragments around it. */
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
#define FOU_PORT 5555

enum {
	ETHER = 1,
	IPV4 = 228,
	IPV6 = 229,
};

struct tunnel_case {
	const char *name;
	uint32_t link;
	const char *bytes;
	size_t size;
	size_t cut; /* so many of the bytes are not captured */
	enum pm_verdict verdict;
	uint8_t version, protocol;
	enum pm_transport transport;
	uint16_t src, dst;
};

#define CASE(name, link, bytes, ...) \
	{ \
		name, link, bytes, sizeof(bytes) - 1, __VA_ARGS__ \
	}
#define PORTS(ip, number, which, to) \
	.verdict = PM_VERDICT_PORTS, .version = (ip), .protocol = (number), \
	.transport = PM_TRANSPORT_##which, .src = 49152, .dst = (to)
#define A_UDP(ip) PORTS(ip, 17, UDP, 53)
#define A_TCP(ip) PORTS(ip, 6, TCP, 443)
#define OUTER(port) PORTS(4, 17, UDP, port) /* what is in it does not count */
#define NO_PORTS(ip, number) \
	.verdict = PM_VERDICT_NO_PORTS_PROTOCOL, .version = (ip), .protocol = (number)
#define LATER(ip, number) .verdict = PM_VERDICT_FRAGMENT, .version = (ip), .protocol = (number)
#define MALFORMED(ip, number) .verdict = PM_VERDICT_MALFORMED, .version = (ip), .protocol = (number)
#define TRUNCATED(ip, number) \
	.verdict = PM_VERDICT_HEADER_TRUNCATED, .version = (ip), .protocol = (number)

/* A total length of 0 and a UDP length of 0 are offload's: the frame's own length counts. */
#define IN_IP(number) IP4("\x00\x00", number)
#define UDP_TO(port) "\xc0\x00" port "\x00\x00\x00\x00"
#define IN_UDP(port) IN_IP(UDP_NUMBER) UDP_TO(port)
#define IN_GRE(flags, type) IN_IP("\x2f") flags type
#define ETH_IP6_UDP ETH(TYPE_IP6) IP6_UDP
#define ETH_ARP ETH(TYPE_ARP) "\x00\x01\x08\x00\x06\x04\x00\x01"

#define VXLAN_PORT "\x12\xb5"
#define GPE_PORT "\x12\xb6"
#define GENEVE_PORT "\x17\xc1"
#define GTP_PORT "\x08\x68"
#define GTP0_PORT "\x0d\x3a"
#define TEREDO_PORT "\x0d\xd8"
#define L2TP_PORT "\x06\xa5"
#define GRE_PORT "\x12\x92"
#define MPLS_PORT "\x19\xeb"
#define GUE_PORT "\x17\xc0"
#define FOU_PORT_BYTES "\x15\xb3"
#define LISP_PORT "\x10\xf5"
#define LISP_CONTROL_PORT "\x10\xf6"
#define AYIYA_PORT "\x13\xd0"
#define CAPWAP_PORT "\x14\x7f"
#define TZSP_PORT "\x90\x90"
#define VXLAN "\x08\x00\x00\x00\x00\x00\x2a\x00"
#define GPE(next) "\x0c\x00\x00" next "\x00\x00\x2a\x00"
#define GENEVE(first, type) first "\x00" type "\x00\x00\x2a\x00"
#define GTP(flags, type, length) flags type length "\x00\x00\x00\x07"
#define CAPWAP(first, second, third) "\x00" first second third "\x00\x00\x00\x00"
#define SNAP_IP6 "\xaa\xaa\x03\x00\x00\x00" TYPE_IP6
#define WIFI(control) control "\x00\x00" MAC_SERVER MAC_CLIENT MAC_SERVER "\x70\x00"
#define WIFI_DATA(control) WIFI(control) SNAP_IP6 IP6_TCP
#define COOKIE "\xfe\xed\xfe\xed"
#define PADDING_16 "\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"
#define PADDING_64 PADDING_16 PADDING_16 PADDING_16 PADDING_16
#define ROUTE "\x08\x00\x00\x01\xff"
#define ROUTES_5 ROUTE ROUTE ROUTE ROUTE ROUTE
#define ROUTES_15 ROUTES_5 ROUTES_5 ROUTES_5
#define KEY "\x00\x00\x00\x2a"

static const struct tunnel_case cases[] = {
	/* No tunnel. */
	CASE("tcp is no tunnel", IPV4, IP4_TCP, A_TCP(4)),
	CASE("udp to 53 is no tunnel", ETHER, ETH_IP4_UDP, A_UDP(4)),
	CASE("no ip is no ip", ETHER, ETH_ARP, .verdict = PM_VERDICT_NON_IP),
	CASE("a quoted header is no tunnel", IPV4, IN_IP(ICMP_NUMBER) "\x03\x03\x00\x00\x00\x00\x00\x00" IP4_UDP,
	     NO_PORTS(4, 1)),
	CASE("esp stays closed", IPV4, IN_IP(ESP_NUMBER) "\x00\x00\x00\x01\x00\x00\x00\x01" IP4_UDP,
	     NO_PORTS(4, 50)),
	CASE("ipcomp stays closed", IPV4, IN_IP("\x6c") "\x04\x00\x00\x01" IP4_UDP, NO_PORTS(4, 108)),

	/* IP in IP. */
	CASE("ipv4 in ipv4", IPV4, IN_IP("\x04") IP4_TCP, A_TCP(4)),
	CASE("ipv6 in ipv4", IPV4, IN_IP("\x29") IP6_TCP, A_TCP(6)),
	CASE("ipv4 in ipv6", IPV6, IP6("\x00\x28", "\x04") IP4_TCP, A_TCP(4)),
	CASE("ipv6 in ipv6", IPV6, IP6("\x00\x3c", "\x29") IP6_TCP, A_TCP(6)),
	CASE("ipv6 behind extension headers of ipv6", IPV6, IP6("\x00\x44", "\x3c") EXTENSION("\x29") IP6_TCP,
	     A_TCP(6)),
	CASE("ipv4 behind ah", IPV4, IN_IP(AH_NUMBER) AH_12("\x04") IP4_TCP, A_TCP(4)),
	CASE("ipip of ka9q", IPV4, IN_IP("\x5e") IP4_TCP, A_TCP(4)),
	CASE("four deep", IPV4, IN_IP("\x04") IN_IP("\x29") IP6("\x00\x3c", "\x04") IN_IP("\x04") IP4_UDP, A_UDP(4)),
	CASE("ethernet in ipv6", IPV6, IP6("\x00\x4a", "\x8f") ETH_IP6_TCP, A_TCP(6)),
	CASE("ethernet in ipv4", IPV4, IN_IP("\x8f") ETH_IP6_TCP, A_TCP(6)),
	CASE("ethernet in ipv6 without ip", IPV6, IP6("\x00\x16", "\x8f") ETH_ARP, NO_PORTS(6, 143)),
	CASE("icmp inside", IPV4, IN_IP("\x04") IN_IP(ICMP_NUMBER) ICMP, NO_PORTS(4, 1)),
	CASE("version 5 inside is malformed", IPV4, IN_IP("\x04") "\x55" "1234567890123456789", MALFORMED(0, 0)),
	CASE("ipv4 where ipv6 is announced is malformed", IPV4, IN_IP("\x29") IP4_TCP, MALFORMED(0, 0)),
	CASE("nothing inside is malformed", IPV4, IN_IP("\x04"), MALFORMED(0, 0)),
	CASE("cut inside the inner header", IPV4, IN_IP("\x04") IP4_TCP, TRUNCATED(0, 0), .cut = 25),
	CASE("cut behind the inner header", IPV4, IN_IP("\x04") IP4_TCP, TRUNCATED(4, 6), .cut = 20),
	CASE("padding is not inside", IPV4, IP4("\x00\x16", "\x04") "\x45\x00" "12345678901234567890",
	     MALFORMED(0, 0)),

	/* GRE. */
	CASE("gre", IPV4, IN_GRE("\x00\x00", TYPE_IP4) IP4_TCP, A_TCP(4)),
	CASE("gre with a checksum", IPV4, IN_GRE("\x80\x00", TYPE_IP4) "\x12\x34\x00\x00" IP4_TCP, A_TCP(4)),
	CASE("gre with a key", IPV4, IN_GRE("\x20\x00", TYPE_IP6) KEY IP6_TCP, A_TCP(6)),
	CASE("gre with a sequence", IPV4, IN_GRE("\x10\x00", TYPE_IP4) "\x00\x00\x00\x01" IP4_TCP, A_TCP(4)),
	CASE("gre with all of them", IPV4, IN_GRE("\xb0\x00", TYPE_IP4) "\x12\x34\x00\x00" KEY "\x00\x00\x00\x01" IP4_TCP,
	     A_TCP(4)),
	CASE("gre with routes", IPV4,
	     IN_GRE("\x40\x00", TYPE_IP4) "\x00\x00\x00\x00" "\x08\x00\x00\x04\xc0\x00\x02\x07" "\x00\x00\x00\x00" IP4_TCP,
	     A_TCP(4)),
	CASE("gre with as many routes as are read", IPV4,
	     IN_GRE("\x40\x00", TYPE_IP4) "\x00\x00\x00\x00" ROUTES_15 "\x00\x00\x00\x00" IP4_TCP, A_TCP(4)),
	CASE("gre with more routes", IPV4,
	     IN_GRE("\x40\x00", TYPE_IP4) "\x00\x00\x00\x00" ROUTES_15 ROUTE "\x00\x00\x00\x00" IP4_TCP, MALFORMED(0, 0)),
	CASE("gre with routes that end early", IPV4,
	     IN_GRE("\x40\x00", TYPE_IP4) "\x00\x00\x00\x00" "\x08\x00\x00\x04\xc0", NO_PORTS(4, 47)),
	CASE("gre with a type that holds no ip", IPV4, IN_GRE("\x00\x00", TYPE_ARP) IP4_TCP, NO_PORTS(4, 47)),
	CASE("gre of version 2", IPV4, IN_GRE("\x00\x02", TYPE_IP4) IP4_TCP, NO_PORTS(4, 47)),
	CASE("gre in ipv6", IPV6, IP6("\x00\x2c", "\x2f") "\x00\x00" TYPE_IP4 IP4_TCP, A_TCP(4)),
	CASE("half of gre", IPV4, IN_IP("\x2f") "\x00\x00", NO_PORTS(4, 47)),
	CASE("gre cut within its options counts as gre", IPV4, IN_GRE("\x20\x00", TYPE_IP4) KEY IP4_TCP, NO_PORTS(4, 47),
	     .cut = 42),
	CASE("nvgre", IPV4, IN_GRE("\x20\x00", TYPE_BRIDGED) KEY ETH_IP6_TCP, A_TCP(6)),
	CASE("mpls in gre", IPV4, IN_GRE("\x00\x00", TYPE_MPLS) LABEL LABEL_BOTTOM IP4_TCP, A_TCP(4)),
	CASE("nsh in gre", IPV4, IN_GRE("\x00\x00", TYPE_NSH) NSH("\xc2", "\x01") IP4_TCP, A_TCP(4)),
	CASE("a vlan in gre's frame", IPV4, IN_GRE("\x00\x00", TYPE_BRIDGED) ETH(TYPE_VLAN) TAG("\x00\x05", TYPE_IP4) IP4_TCP,
	     A_TCP(4)),
	CASE("mikrotik's ethernet over ip", IPV4, IN_GRE("\x00\x00", "\x64\x00") ETH_IP6_TCP, A_TCP(6)),
	CASE("frame relay in gre", IPV4, IN_GRE("\x00\x00", "\x65\x59") "\x18\x41\x03\xcc" IP4_TCP, A_TCP(4)),
	CASE("wccp, first version", IPV4, IN_GRE("\x00\x00", "\x88\x3e") IP4_TCP, A_TCP(4)),
	CASE("wccp, second version", IPV4, IN_GRE("\x00\x00", "\x88\x3e") "\x00\x00\x00\x01" IP4_TCP, A_TCP(4)),
	CASE("cisco metadata in gre", IPV4, IN_GRE("\x00\x00", TYPE_CMD) TYPE_IP4 "\x01\x01\x00\x01\x00\x63" IP4_TCP,
	     A_TCP(4)),
	CASE("pptp", IPV4, IN_GRE("\x30\x01", "\x88\x0b") "\x00\x2a\x00\x07\x00\x00\x00\x01" PPP_IP4 IP4_TCP,
	     A_TCP(4)),
	CASE("pptp with an acknowledgment and framing", IPV4,
	     IN_GRE("\x30\x81", "\x88\x0b") "\x00\x2c\x00\x07\x00\x00\x00\x01\x00\x00\x00\x01\xff\x03" PPP_IP4 IP4_TCP,
	     A_TCP(4)),
	CASE("pptp that only acknowledges", IPV4, IN_GRE("\x20\x81", "\x88\x0b") "\x00\x00\x00\x07\x00\x00\x00\x01",
	     NO_PORTS(4, 47)),
	CASE("pptp that is encrypted", IPV4,
	     IN_GRE("\x30\x01", "\x88\x0b") "\x00\x2a\x00\x07\x00\x00\x00\x01\x00\xfd" IP4_TCP, NO_PORTS(4, 47)),
	CASE("pptp's length ends the payload", IPV4,
	     IN_GRE("\x30\x01", "\x88\x0b") "\x00\x02\x00\x07\x00\x00\x00\x01" PPP_IP4 IP4_TCP, MALFORMED(0, 0)),
	CASE("erspan i", IPV4, IN_GRE("\x00\x00", "\x88\xbe") ETH_IP6_TCP, A_TCP(6)),
	CASE("erspan ii", IPV4, IN_GRE("\x10\x00", "\x88\xbe") "\x00\x00\x00\x01" "\x10\x01\x00\x02\x00\x00\x00\x03" ETH_IP6_TCP,
	     A_TCP(6)),
	CASE("erspan iii", IPV4,
	     IN_GRE("\x10\x00", "\x22\xeb") "\x00\x00\x00\x01" "\x20\x01\x00\x02\x00\x00\x00\x03\x00\x00\x00\x00" ETH_IP6_TCP,
	     A_TCP(6)),
	CASE("erspan iii with a platform's own header", IPV4,
	     IN_GRE("\x10\x00", "\x22\xeb") "\x00\x00\x00\x01"
	     "\x20\x01\x00\x02\x00\x00\x00\x03\x00\x00\x00\x01" "12345678" ETH_IP6_TCP, A_TCP(6)),
	CASE("erspan iii of a packet", IPV4,
	     IN_GRE("\x10\x00", "\x22\xeb") "\x00\x00\x00\x01" "\x20\x01\x00\x02\x00\x00\x00\x03\x00\x00\x08\x00" IP4_TCP,
	     A_TCP(4)),
	CASE("erspan iii of something else", IPV4,
	     IN_GRE("\x10\x00", "\x22\xeb") "\x00\x00\x00\x01" "\x20\x01\x00\x02\x00\x00\x00\x03\x00\x00\x04\x00" IP4_TCP,
	     NO_PORTS(4, 47)),
	CASE("erspan of version 3", IPV4,
	     IN_GRE("\x10\x00", "\x88\xbe") "\x00\x00\x00\x01" "\x30\x01\x00\x02\x00\x00\x00\x03" ETH_IP6_TCP, NO_PORTS(4, 47)),

	/* Others of an IP protocol. */
	CASE("etherip", IPV4, IN_IP("\x61") "\x30\x00" ETH_IP6_TCP, A_TCP(6)),
	CASE("etherip of version 4", IPV4, IN_IP("\x61") "\x40\x00" ETH_IP6_TCP, NO_PORTS(4, 97)),
	CASE("a pim register", IPV4, IN_IP("\x67") "\x21\x00\x00\x00\x00\x00\x00\x00" IP4_TCP, A_TCP(4)),
	CASE("a null register of pim", IPV4, IN_IP("\x67") "\x21\x00\x00\x00\x40\x00\x00\x00" IP4_TCP, NO_PORTS(4, 103)),
	CASE("a pim hello", IPV4, IN_IP("\x67") "\x20\x00\x00\x00\x00\x01\x00\x02" IP4_TCP, NO_PORTS(4, 103)),
	CASE("mpls in ip", IPV4, IN_IP("\x89") LABEL_BOTTOM IP4_TCP, A_TCP(4)),
	CASE("l2tpv3", IPV4, IN_IP("\x73") KEY ETH_IP6_TCP, A_TCP(6)),
	CASE("l2tpv3 with a cookie", IPV4, IN_IP("\x73") KEY COOKIE ETH_IP6_TCP, A_TCP(6)),
	CASE("l2tpv3 with a long cookie", IPV4, IN_IP("\x73") KEY COOKIE COOKIE ETH_IP6_TCP, A_TCP(6)),
	CASE("l2tpv3 with a long cookie and a sublayer", IPV4, IN_IP("\x73") KEY COOKIE COOKIE "\x40\x00\x00\x01" ETH_IP6_TCP,
	     A_TCP(6)),
	CASE("l2tpv3 with more than that", IPV4, IN_IP("\x73") KEY COOKIE COOKIE COOKIE COOKIE ETH_IP6_TCP, NO_PORTS(4, 115)),
	CASE("l2tpv3 of ppp", IPV4, IN_IP("\x73") KEY COOKIE "\xff\x03" PPP_IP4 IP4_TCP, A_TCP(4)),
	CASE("l2tpv3 control", IPV4, IN_IP("\x73") "\x00\x00\x00\x00" ETH_IP6_TCP, NO_PORTS(4, 115)),

	/* Tunnels in UDP. */
	CASE("vxlan", IPV4, IN_UDP(VXLAN_PORT) VXLAN ETH_IP6_TCP, A_TCP(6)),
	CASE("vxlan in ipv6", IPV6, IP6("\x00\x5a", UDP_NUMBER) UDP_TO(VXLAN_PORT) VXLAN ETH_IP6_TCP, A_TCP(6)),
	CASE("vxlan by its source port", IPV4, IN_IP(UDP_NUMBER) VXLAN_PORT "\xc0\x00\x00\x00\x00\x00" VXLAN ETH_IP6_TCP,
	     A_TCP(6)),
	CASE("vxlan without its flag", IPV4, IN_UDP(VXLAN_PORT) "\x00\x00\x00\x00\x00\x00\x2a\x00" ETH_IP6_TCP, OUTER(4789)),
	CASE("vxlan with reserved bits", IPV4, IN_UDP(VXLAN_PORT) "\xff\xff\xff\xff\x00\x00\x2a\xff" ETH_IP6_TCP, A_TCP(6)),
	CASE("vxlan of arp counts outside", IPV4, IN_UDP(VXLAN_PORT) VXLAN ETH_ARP, OUTER(4789)),
	CASE("vxlan cut within its frame's head counts outside", IPV4, IN_UDP(VXLAN_PORT) VXLAN ETH_IP6_TCP, OUTER(4789),
	     .cut = 62),
	CASE("vxlan cut within the inner ip header", IPV4, IN_UDP(VXLAN_PORT) VXLAN ETH_IP6_TCP, TRUNCATED(0, 0), .cut = 59),
	CASE("vxlan whose udp ends early counts outside", IPV4,
	     IN_IP(UDP_NUMBER) "\xc0\x00" VXLAN_PORT "\x00\x10\x00\x00" VXLAN ETH_IP6_TCP, OUTER(4789)),
	CASE("a udp length that is no length", IPV4,
	     IN_IP(UDP_NUMBER) "\xc0\x00" VXLAN_PORT "\x00\x07\x00\x00" VXLAN ETH_IP6_TCP, A_TCP(6)),
	CASE("vxlan-gpe of ipv4", IPV4, IN_UDP(GPE_PORT) GPE("\x01") IP4_TCP, A_TCP(4)),
	CASE("vxlan-gpe of ipv6", IPV4, IN_UDP(GPE_PORT) GPE("\x02") IP6_TCP, A_TCP(6)),
	CASE("vxlan-gpe of ethernet", IPV4, IN_UDP(GPE_PORT) GPE("\x03") ETH_IP6_TCP, A_TCP(6)),
	CASE("vxlan-gpe of nsh", IPV4, IN_UDP(GPE_PORT) GPE("\x04") NSH("\xc2", "\x02") IP6_TCP, A_TCP(6)),
	CASE("vxlan-gpe of mpls", IPV4, IN_UDP(GPE_PORT) GPE("\x05") LABEL_BOTTOM IP6_TCP, A_TCP(6)),
	CASE("vxlan-gpe of something else", IPV4, IN_UDP(GPE_PORT) GPE("\x06") IP6_TCP, OUTER(4790)),
	CASE("vxlan-gpe that says nothing", IPV4, IN_UDP(GPE_PORT) VXLAN ETH_IP6_TCP, A_TCP(6)),
	CASE("vxlan-gpe of another version", IPV4, IN_UDP(GPE_PORT) "\x1c\x00\x00\x01\x00\x00\x2a\x00" IP4_TCP, OUTER(4790)),
	CASE("geneve", IPV4, IN_UDP(GENEVE_PORT) GENEVE("\x00", TYPE_BRIDGED) ETH_IP6_TCP, A_TCP(6)),
	CASE("geneve of ip with options", IPV4, IN_UDP(GENEVE_PORT) GENEVE("\x02", TYPE_IP4) "\x01\x02\x03\x01" "1234" IP4_TCP,
	     A_TCP(4)),
	CASE("geneve of another version", IPV4, IN_UDP(GENEVE_PORT) GENEVE("\x40", TYPE_IP4) IP4_TCP, OUTER(6081)),
	CASE("geneve whose options end late counts outside", IPV4, IN_UDP(GENEVE_PORT) GENEVE("\x3f", TYPE_IP4) IP4_TCP,
	     OUTER(6081)),
	CASE("gtp", IPV4, IN_UDP(GTP_PORT) GTP("\x30", "\xff", "\x00\x28") IP4_TCP, A_TCP(4)),
	CASE("gtp of ipv6 with a sequence", IPV4, IN_UDP(GTP_PORT) GTP("\x32", "\xff", "\x00\x40") "\x00\x01\x00\x00" IP6_TCP,
	     A_TCP(6)),
	CASE("gtp with extension headers", IPV4,
	     IN_UDP(GTP_PORT) GTP("\x34", "\xff", "\x00\x38") "\x00\x00\x00\x85" "\x01\x00\x09\x85" "\x02\x00\x00\x00\x00\x00\x00\x00" IP4_TCP,
	     A_TCP(4)),
	CASE("gtp with an extension header of no size", IPV4,
	     IN_UDP(GTP_PORT) GTP("\x34", "\xff", "\x00\x38") "\x00\x00\x00\x85" "\x00\x00\x09\x85" IP4_TCP, MALFORMED(0, 0)),
	CASE("gtp of ethernet", IPV4, IN_UDP(GTP_PORT) GTP("\x30", "\xff", "\x00\x4a") ETH_IP6_TCP, A_TCP(6)),
	CASE("gtp's echo", IPV4, IN_UDP(GTP_PORT) GTP("\x32", "\x01", "\x00\x04") "\x00\x01\x00\x00", OUTER(2152)),
	CASE("gtp of version 0", IPV4,
	     IN_UDP(GTP0_PORT) "\x1e\xff\x00\x28\x00\x00\x00\x01\xff\xff\xff\xff" "12345678" IP4_TCP, A_TCP(4)),
	CASE("gtp of version 2", IPV4, IN_UDP(GTP_PORT) GTP("\x48", "\xff", "\x00\x28") IP4_TCP, OUTER(2152)),
	CASE("teredo", IPV4, IN_UDP(TEREDO_PORT) IP6_TCP, A_TCP(6)),
	CASE("teredo with the sender's address", IPV4, IN_UDP(TEREDO_PORT) "\x00\x00\x12\x34" "\x3f\xff\xfd\xfe" IP6_TCP,
	     A_TCP(6)),
	CASE("teredo with a proof", IPV4, IN_UDP(TEREDO_PORT) "\x00\x01\x02\x03" "idaut" "nonce678" "\x00" IP6_TCP, A_TCP(6)),
	CASE("teredo with both", IPV4,
	     IN_UDP(TEREDO_PORT) "\x00\x01\x00\x00" "nonce678" "\x00" "\x00\x00\x12\x34" "\x3f\xff\xfd\xfe" IP6_TCP, A_TCP(6)),
	CASE("teredo of ipv4 is none", IPV4, IN_UDP(TEREDO_PORT) IP4_TCP, OUTER(3544)),
	CASE("l2tp", IPV4, IN_UDP(L2TP_PORT) "\x00\x02\x00\x01\x00\x02\xff\x03" PPP_IP4 IP4_TCP, A_TCP(4)),
	CASE("l2tp with all fields", IPV4,
	     IN_UDP(L2TP_PORT) "\x4a\x02\x00\x3a\x00\x01\x00\x02\x00\x03\x00\x04\x00\x02\xee\xee" PPP_IP4 IP4_TCP, A_TCP(4)),
	CASE("l2tp whose offset ends late counts outside", IPV4,
	     IN_UDP(L2TP_PORT) "\x02\x02\x00\x01\x00\x02\xff\xff" PPP_IP4 IP4_TCP, OUTER(1701)),
	CASE("l2tp control", IPV4, IN_UDP(L2TP_PORT) "\xc8\x02\x00\x0c\x00\x01\x00\x00\x00\x00\x00\x00", OUTER(1701)),
	CASE("l2tpv3 in udp", IPV4, IN_UDP(L2TP_PORT) "\x00\x03\x00\x00" KEY COOKIE ETH_IP6_TCP, A_TCP(6)),
	CASE("l2tp of version 1", IPV4, IN_UDP(L2TP_PORT) "\x00\x01\x00\x01\x00\x02" PPP_IP4 IP4_TCP, OUTER(1701)),
	CASE("gre in udp", IPV4, IN_UDP(GRE_PORT) "\x00\x00" TYPE_IP4 IP4_TCP, A_TCP(4)),
	CASE("mpls in udp", IPV4, IN_UDP(MPLS_PORT) LABEL_BOTTOM IP6_TCP, A_TCP(6)),
	CASE("a pseudowire in udp", IPV4, IN_UDP(MPLS_PORT) LABEL_BOTTOM CONTROL_WORD("\x00\x00") ETH_IP6_TCP, A_TCP(6)),
	CASE("gue", IPV4, IN_UDP(GUE_PORT) "\x00\x04\x00\x00" IP4_TCP, A_TCP(4)),
	CASE("gue with options", IPV4, IN_UDP(GUE_PORT) "\x02\x29\x00\x00" "12345678" IP6_TCP, A_TCP(6)),
	CASE("gue of gre", IPV4, IN_UDP(GUE_PORT) "\x00\x2f\x00\x00" "\x00\x00" TYPE_IP4 IP4_TCP, A_TCP(4)),
	CASE("gue of tcp has no ip layer of its own", IPV4, IN_UDP(GUE_PORT) "\x00\x06\x00\x00" TCP, OUTER(6080)),
	CASE("gue control", IPV4, IN_UDP(GUE_PORT) "\x20\x04\x00\x00" IP4_TCP, OUTER(6080)),
	CASE("gue of version 1", IPV4, IN_UDP(GUE_PORT) IP6_TCP, A_TCP(6)),
	CASE("gue of version 2", IPV4, IN_UDP(GUE_PORT) "\x80\x04\x00\x00" IP4_TCP, OUTER(6080)),
	CASE("fou of ipv4", IPV4, IN_UDP(FOU_PORT_BYTES) IP4_TCP, A_TCP(4)),
	CASE("fou of ipv6", IPV4, IN_UDP(FOU_PORT_BYTES) IP6_TCP, A_TCP(6)),
	CASE("fou of gre", IPV4, IN_UDP(FOU_PORT_BYTES) "\x20\x00" TYPE_IP4 KEY IP4_TCP, A_TCP(4)),
	CASE("what claims more than the datagram holds is no ip", IPV4,
	     IN_UDP(FOU_PORT_BYTES) IP4("\x40\x00", TCP_NUMBER) "1234567890", OUTER(FOU_PORT)),
	CASE("what claims more than the datagram holds is no ipv6", IPV4,
	     IN_UDP(TEREDO_PORT) IP6("\x40\x00", TCP_NUMBER) "1234567890", OUTER(3544)),
	CASE("what contradicts itself is no ip", IPV4, IN_UDP(MPLS_PORT) "\x12\x34\x51\x40" "\x41\x23" "123456789012345678",
	     OUTER(6635)),
	CASE("but where it was announced it is malformed", IPV4,
	     IN_UDP(GRE_PORT) "\x00\x00" TYPE_IP4 "\x41\x23" "123456789012345678", MALFORMED(0, 0)),
	CASE("a piece has not all that ip claims", IPV4,
	     IP4_FRAGMENT("\x00\x00", "\x20\x00", UDP_NUMBER) UDP_TO(FOU_PORT_BYTES) IP4("\x40\x00", TCP_NUMBER) "\xc0\x00\x01\xbb",
	     A_TCP(4)),
	CASE("nor has what is shorter than it says", IPV4,
	     IP4("\x50\x00", UDP_NUMBER) UDP_TO(FOU_PORT_BYTES) IP4("\x40\x00", TCP_NUMBER) "\xc0\x00\x01\xbb", A_TCP(4)),
	CASE("lisp", IPV4, IN_UDP(LISP_PORT) "\xc0\x00\x00\x01\x00\x00\x00\x01" IP6_TCP, A_TCP(6)),
	CASE("lisp's encapsulated control message", IPV4, IN_UDP(LISP_CONTROL_PORT) "\x80\x00\x00\x00" IP4_UDP, A_UDP(4)),
	CASE("lisp's other messages", IPV4, IN_UDP(LISP_CONTROL_PORT) "\x10\x00\x00\x00" IP4_UDP, OUTER(4342)),
	CASE("ayiya", IPV4,
	     IN_UDP(AYIYA_PORT) "\x41\x52\x11\x29\x00\x00\x00\x01" "identity12345678" "signature12345678901" IP6_TCP, A_TCP(6)),
	CASE("ayiya that forwards nothing", IPV4,
	     IN_UDP(AYIYA_PORT) "\x41\x52\x10\x3b\x00\x00\x00\x01" "identity12345678" "signature12345678901" IP6_TCP, OUTER(5072)),
	CASE("capwap of ethernet", IPV4, IN_UDP(CAPWAP_PORT) CAPWAP("\x10", "\x02", "\x00") ETH_IP6_TCP, A_TCP(6)),
	CASE("capwap with options", IPV4,
	     IN_UDP(CAPWAP_PORT) CAPWAP("\x20", "\x02", "\x10") "\x06" "123456" "\x00" ETH_IP6_TCP, A_TCP(6)),
	CASE("capwap of 802.11", IPV4, IN_UDP(CAPWAP_PORT) CAPWAP("\x10", "\x03", "\x00") WIFI_DATA("\x08\x01"), A_TCP(6)),
	CASE("capwap of 802.11 with the frame control swapped", IPV4,
	     IN_UDP(CAPWAP_PORT) CAPWAP("\x10", "\x03", "\x00") WIFI_DATA("\x01\x08"), A_TCP(6)),
	CASE("the same, with quality of service and four addresses", IPV4,
	     IN_UDP(CAPWAP_PORT) CAPWAP("\x10", "\x03", "\x00") WIFI("\x03\x88") MAC_CLIENT "\x00\x00" SNAP_IP6 IP6_TCP,
	     A_TCP(6)),
	CASE("capwap of 802.11 that is protected", IPV4,
	     IN_UDP(CAPWAP_PORT) CAPWAP("\x10", "\x03", "\x00") WIFI_DATA("\x41\x08"), OUTER(5247)),
	CASE("capwap of 802.11 that is no data", IPV4,
	     IN_UDP(CAPWAP_PORT) CAPWAP("\x10", "\x03", "\x00") WIFI_DATA("\x00\x80"), OUTER(5247)),
	CASE("capwap of another radio", IPV4, IN_UDP(CAPWAP_PORT) CAPWAP("\x10", "\x05", "\x00") WIFI_DATA("\x08\x01"),
	     OUTER(5247)),
	CASE("a later fragment of capwap", IPV4, IN_UDP(CAPWAP_PORT) "\x00\x10\x02\x80\x00\x01\x00\x08" ETH_IP6_TCP,
	     OUTER(5247)),
	CASE("capwap that keeps alive", IPV4, IN_UDP(CAPWAP_PORT) CAPWAP("\x10", "\x02", "\x08") ETH_IP6_TCP, OUTER(5247)),
	CASE("capwap encrypted", IPV4, IN_UDP(CAPWAP_PORT) "\x01\x00\x00\x00\x17\xfe\xff\x00" ETH_IP6_TCP, OUTER(5247)),
	CASE("capwap whose header is shorter than itself", IPV4, IN_UDP(CAPWAP_PORT) CAPWAP("\x08", "\x02", "\x00") ETH_IP6_TCP,
	     OUTER(5247)),
	CASE("tzsp padded without end", IPV4, IN_UDP(TZSP_PORT) "\x01\x00\x00\x01" PADDING_64 "\x01" ETH_IP6_TCP, OUTER(37008)),
	CASE("tzsp of another kind of frame", IPV4, IN_UDP(TZSP_PORT) "\x01\x00\x00\x02" "\x01" ETH_IP6_TCP, OUTER(37008)),
	CASE("tzsp", IPV4, IN_UDP(TZSP_PORT) "\x01\x00\x00\x01" "\x0a\x01\x2c" "\x00" "\x01" ETH_IP6_TCP, A_TCP(6)),
	CASE("tzsp whose tags do not end", IPV4, IN_UDP(TZSP_PORT) "\x01\x00\x00\x01" "\x0a\xff" ETH_IP6_TCP, OUTER(37008)),
	CASE("tzsp of another version", IPV4, IN_UDP(TZSP_PORT) "\x02\x00\x00\x01" "\x01" ETH_IP6_TCP, OUTER(37008)),
	CASE("tcp to a tunnel's port is none", IPV4, IN_IP(TCP_NUMBER) "\xc0\x00" VXLAN_PORT "1234567890123456",
	     PORTS(4, 6, TCP, 4789)),

	/* Tunnels in tunnels. */
	CASE("vxlan in gre in ipv6", IPV6,
	     IP6("\x00\x7a", "\x2f") "\x00\x00" TYPE_IP4 IN_UDP(VXLAN_PORT) VXLAN ETH_IP6_TCP, A_TCP(6)),
	CASE("what holds no ip ends it", IPV4, IN_IP("\x04") IN_UDP(VXLAN_PORT) VXLAN ETH_ARP, OUTER(4789)),
	CASE("gtp in teredo", IPV4, IN_UDP(TEREDO_PORT) IP6("\x00\x38", UDP_NUMBER) UDP_TO(GTP_PORT) GTP("\x30", "\xff", "\x00\x28") IP4_TCP,
	     A_TCP(4)),

	/* Fragments. */
	CASE("a later fragment of gre may have ports", IPV4, IP4_FRAGMENT("\x00\x00", "\x00\x10", "\x2f") IP4_UDP, LATER(4, 47)),
	CASE("a later fragment of icmp has none", IPV4, IP4_FRAGMENT("\x00\x00", "\x00\x10", ICMP_NUMBER) IP4_UDP, NO_PORTS(4, 1)),
	CASE("a later fragment of ipv6 in ipv6", IPV6, IP6("\x00\x10", "\x2c") FRAGMENT6("\x29", "\x00\x08") UDP, LATER(6, 41)),
	CASE("a later fragment inside", IPV4, IN_IP("\x04") IP4_FRAGMENT("\x00\x00", "\x00\x10", UDP_NUMBER) UDP, LATER(4, 17)),
	CASE("a first fragment outside is looked into", IPV4, IP4_FRAGMENT("\x00\x00", "\x20\x00", "\x04") IP4_TCP, A_TCP(4)),
};

static struct pm_tunnels *tunnels;

static int make_tunnels(void **state)
{
	(void)state;
	if (pm_tunnels_new(&tunnels) < 0)
		return -1;
	return pm_tunnels_set(tunnels, "fou", 3, FOU_PORT) ? 0 : -1;
}

static int free_tunnels(void **state)
{
	(void)state;
	pm_tunnels_free(tunnels);
	return 0;
}

/* From a heap block of exactly @held bytes, so that a sanitizer sees a read past it. */
static struct pm_packet decode(uint32_t link, const void *bytes, size_t held, size_t wire,
			       struct pm_packet *ret_carrier)
{
	uint8_t *copy = malloc(held ? held : 1);
	struct pm_packet packet;

	assert_non_null(copy);
	if (held)
		memcpy(copy, bytes, held);
	pm_packet_decode_inner(tunnels, pm_link_find(link), copy, held, wire, &packet, ret_carrier);
	free(copy);
	return packet;
}

static struct pm_packet decode_outer(uint32_t link, const void *bytes, size_t held, size_t wire)
{
	struct pm_packet packet;

	pm_packet_decode(pm_link_find(link), bytes, held, wire, &packet);
	return packet;
}

static void tunnel_case_holds(void **state)
{
	const struct tunnel_case *k = *state;
	struct pm_packet carrier;
	struct pm_packet p = decode(k->link, k->bytes, k->size - k->cut, k->size, &carrier);

	assert_string_equal(pm_verdict_name(p.verdict), pm_verdict_name(k->verdict));
	assert_int_equal(p.ip_version, k->version);
	assert_int_equal(p.ip_protocol, k->protocol);
	if (k->verdict == PM_VERDICT_PORTS) {
		assert_int_equal(p.transport, k->transport);
		assert_int_equal(p.src_port, k->src);
		assert_int_equal(p.dst_port, k->dst);
	}
}

/*
 * However a capture is cut, the answer is that of the whole, that it is cut, or that of a layer
 * outside.
 */
static void a_cut_capture_gives_the_same_or_is_truncated_or_counts_outside(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		const struct tunnel_case *k = &cases[i];
		struct pm_packet carrier;
		bool known = false;

		for (size_t held = 0; held <= k->size - k->cut; held++) {
			struct pm_packet p = decode(k->link, k->bytes, held, k->size, &carrier);

			if (p.verdict == PM_VERDICT_PORTS && p.dst_port == k->dst)
				known = true;
			else if (k->verdict == PM_VERDICT_PORTS)
				assert_false(known);
			assert_true(p.verdict < PM_VERDICT_N);
		}
		assert_true(known || k->verdict != PM_VERDICT_PORTS);
	}
}

static uint64_t xorshift(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state;
}

/* Whatever is damaged: where the outermost layer has no IP, nothing has; and ports come with IP. */
static void damage_gives_a_verdict_that_fits_the_outermost_layer(void **state)
{
	uint64_t random = UINT64_C(0x2545f4914f6cdd1d);

	(void)state;
	for (int round = 0; round < 100; round++) {
		for (size_t i = 0; i < COUNT(cases); i++) {
			const struct tunnel_case *k = &cases[i];
			uint8_t bytes[512];
			struct pm_packet outer, inner, carrier;
			size_t held;

			assert_true(k->size <= sizeof bytes);
			memcpy(bytes, k->bytes, k->size);
			for (uint64_t n = xorshift(&random) % 4; n > 0; n--)
				bytes[xorshift(&random) % k->size] = (uint8_t)xorshift(&random);
			held = xorshift(&random) % (k->size + 1);
			inner = decode(k->link, bytes, held, k->size, &carrier);
			outer = decode_outer(k->link, bytes, held, k->size);
			assert_true(inner.verdict < PM_VERDICT_N);
			if (outer.ip_version == 0)
				assert_int_equal(inner.verdict, outer.verdict);
			else
				assert_int_not_equal(inner.verdict, PM_VERDICT_NON_IP);
			if (inner.verdict == PM_VERDICT_PORTS)
				assert_true(inner.ip_version != 0);
		}
	}
}

/* Headers of @piece in a row, up to what a frame may have, and then a packet. */
static enum pm_verdict chain(const char *piece, size_t size, size_t times)
{
	static const char last[] = IP4_TCP;
	uint8_t *frame = malloc(size * times + sizeof last);
	struct pm_packet p, carrier;

	assert_non_null(frame);
	for (size_t i = 0; i < times; i++)
		memcpy(frame + i * size, piece, size);
	memcpy(frame + size * times, last, sizeof last - 1);
	p = decode(IPV4, frame, size * times + sizeof last - 1, size * times + sizeof last - 1,
		   &carrier);
	free(frame);
	return (enum pm_verdict)p.verdict;
}

/* A packet in a packet is a layer, and TCP in it another: 30 and these two are 32. */
static void nesting_is_bounded(void **state)
{
	static const char ipip[] = IN_IP("\x04");
	static const char gre[] = IN_GRE("\x00\x00", TYPE_IP4);
	static const char fou[] = IN_UDP(FOU_PORT_BYTES);

	(void)state;
	assert_int_equal(chain(ipip, sizeof ipip - 1, 30), PM_VERDICT_PORTS);
	assert_int_equal(chain(ipip, sizeof ipip - 1, 31), PM_VERDICT_MALFORMED);
	assert_int_equal(chain(ipip, sizeof ipip - 1, 64), PM_VERDICT_MALFORMED);
	assert_int_equal(chain(ipip, sizeof ipip - 1, 3200), PM_VERDICT_MALFORMED);
	assert_int_equal(chain(gre, sizeof gre - 1, 64), PM_VERDICT_MALFORMED);
	assert_int_equal(chain(fou, sizeof fou - 1, 64), PM_VERDICT_MALFORMED);
}

static void extension_headers_of_gtp_are_bounded(void **state)
{
	static const char head[] = IN_UDP(GTP_PORT) GTP("\x34", "\xff", "\xff\xff") "\x00\x00\x00\x85";
	uint8_t frame[65536] = { 0 };
	struct pm_packet p, carrier;

	(void)state;
	memcpy(frame, head, sizeof head - 1);
	for (size_t i = sizeof head - 1; i + 4 <= sizeof frame; i += 4)
		memcpy(frame + i, "\x01\x00\x09\x85", 4);
	p = decode(IPV4, frame, sizeof frame, sizeof frame, &carrier);
	assert_int_equal(p.verdict, PM_VERDICT_MALFORMED);
}

/* The outer datagram's name with the inner packet's ports. */
static void a_fragmented_tunnel_counts_as_what_it_carries(void **state)
{
	static const char frame[] = IP4_FRAGMENT("\x00\x00", "\x20\x00", "\x29") IP6_TCP;
	static const struct pm_address outer = { ADDRESS4_CLIENT }, inner = { ADDRESS6_CLIENT };
	struct pm_packet carrier;
	struct pm_packet p = decode(IPV4, frame, sizeof frame - 1, sizeof frame - 1, &carrier);

	(void)state;
	assert_int_equal(p.notes & PM_NOTE_FIRST_FRAGMENT, 0);
	assert_memory_equal(&p.src, &inner, sizeof inner);
	assert_true(carrier.notes & PM_NOTE_FIRST_FRAGMENT);
	assert_memory_equal(&carrier.src, &outer, sizeof outer);
	assert_int_equal(carrier.ip_version, 4);
	assert_int_equal(carrier.fragment_id, 0x1234);
	assert_int_equal(carrier.fragment_protocol, 41);
	assert_int_equal(carrier.verdict, PM_VERDICT_PORTS);
	assert_int_equal(carrier.dst_port, 443);
}

static void a_whole_datagram_carries_no_fragments(void **state)
{
	static const char frame[] = IN_IP("\x04") IP4_FRAGMENT("\x00\x00", "\x20\x00", UDP_NUMBER) UDP;
	struct pm_packet carrier;
	struct pm_packet p = decode(IPV4, frame, sizeof frame - 1, sizeof frame - 1, &carrier);

	(void)state;
	assert_true(p.notes & PM_NOTE_FIRST_FRAGMENT);
	assert_int_equal(carrier.notes & PM_NOTE_FIRST_FRAGMENT, 0);
}

/* The tag outside stands for the frame; one inside only where there is none outside. */
static void the_vlan_is_the_outermost(void **state)
{
	static const char both[] = ETH(TYPE_VLAN) TAG("\x00\x05", TYPE_IP4) IN_UDP(VXLAN_PORT) VXLAN
		ETH(TYPE_VLAN) TAG("\x00\x07", TYPE_IP4) IP4_TCP;
	struct pm_packet carrier;
	struct pm_packet p = decode(ETHER, both, sizeof both - 1, sizeof both - 1, &carrier);

	(void)state;
	assert_int_equal(p.dst_port, 443);
	assert_int_equal(p.vlan, 5);
}

/* A flood in a tunnel to a group is no packet to a group, and the reverse. */
static void the_group_is_that_of_the_inner_packet(void **state)
{
	static const char flooded[] = IP4_WHOLE("\x45", "\x00\x00", "\x00\x00", "\x00\x00",
						UDP_NUMBER, ADDRESS4_MULTICAST)
		UDP_TO(VXLAN_PORT) VXLAN ETH_IP4_UDP;
	static const char group[] = IN_UDP(VXLAN_PORT) VXLAN ETH_TO_GROUP_IP4_UDP;
	struct pm_packet carrier, p;

	(void)state;
	p = decode(IPV4, flooded, sizeof flooded - 1, sizeof flooded - 1, &carrier);
	assert_int_equal(p.dst_port, 53);
	assert_int_equal(p.notes & PM_NOTE_GROUP, 0);
	p = decode(IPV4, group, sizeof group - 1, sizeof group - 1, &carrier);
	assert_true(p.notes & PM_NOTE_GROUP);
}

static void ports_of_tunnels_can_be_changed(void **state)
{
	static const char frame[] = IN_UDP("\x21\x18") VXLAN ETH_IP6_TCP;
	struct pm_tunnels *own;
	struct pm_packet p, carrier;

	(void)state;
	assert_int_equal(pm_tunnels_new(&own), PM_OK);
	assert_true(pm_tunnels_hold(own, 1, 4789));
	assert_true(pm_tunnels_hold(own, 4789, 1));
	assert_false(pm_tunnels_hold(own, 1, 8472));
	assert_false(pm_tunnels_set(own, "vxlan", 5, 0));
	assert_false(pm_tunnels_set(own, "vxlanx", 6, 1));
	assert_false(pm_tunnels_set(own, "vxla", 4, 1));
	assert_false(pm_tunnels_set(own, "", 0, 1));
	assert_true(pm_tunnels_set(own, "vxlan=8472", 5, 8472));
	assert_true(pm_tunnels_set(own, "none", 4, 4789));
	assert_false(pm_tunnels_hold(own, 1, 4789));
	pm_packet_decode_inner(own, pm_link_find(IPV4), (const uint8_t *)frame, sizeof frame - 1,
			       sizeof frame - 1, &p, &carrier);
	assert_int_equal(p.dst_port, 443);
	pm_tunnels_free(own);
	pm_tunnels_free(NULL);
}

static void every_kind_has_a_name(void **state)
{
	size_t n = 0;

	(void)state;
	for (const char *name; (name = pm_tunnels_name(n)) != NULL; n++)
		assert_true(pm_tunnels_set(tunnels, name, strlen(name), 9));
	assert_int_equal(n, 16);
	assert_null(pm_tunnels_name(SIZE_MAX));
}

static const struct CMUnitTest properties[] = {
	cmocka_unit_test(a_cut_capture_gives_the_same_or_is_truncated_or_counts_outside),
	cmocka_unit_test(damage_gives_a_verdict_that_fits_the_outermost_layer),
	cmocka_unit_test(nesting_is_bounded),
	cmocka_unit_test(extension_headers_of_gtp_are_bounded),
	cmocka_unit_test(a_fragmented_tunnel_counts_as_what_it_carries),
	cmocka_unit_test(a_whole_datagram_carries_no_fragments),
	cmocka_unit_test(the_vlan_is_the_outermost),
	cmocka_unit_test(the_group_is_that_of_the_inner_packet),
	cmocka_unit_test(ports_of_tunnels_can_be_changed),
	cmocka_unit_test(every_kind_has_a_name),
};

int main(void)
{
	struct CMUnitTest tests[COUNT(cases) + COUNT(properties)];

	for (size_t i = 0; i < COUNT(cases); i++)
		tests[i] = (struct CMUnitTest){ cases[i].name, tunnel_case_holds, NULL, NULL,
						(void *)(uintptr_t)&cases[i] };
	memcpy(tests + COUNT(cases), properties, sizeof properties);
	return _cmocka_run_group_tests("tunnels", tests, COUNT(tests), make_tunnels, free_tunnels);
}
