/* SPDX-License-Identifier: MIT */
/* Words of the record. IP protocols: IANA "Protocol Numbers", as of 2024. */
#include "portmeter/summary.h"

enum pm_range pm_range_of(uint16_t port)
{
	if (port == 0)
		return PM_RANGE_RESERVED;
	if (port < 1024)
		return PM_RANGE_SYSTEM;
	return port < 49152 ? PM_RANGE_USER : PM_RANGE_DYNAMIC;
}

static const char *const ranges[] = {
	[PM_RANGE_RESERVED] = "reserved",
	[PM_RANGE_SYSTEM] = "system",
	[PM_RANGE_USER] = "user",
	[PM_RANGE_DYNAMIC] = "dynamic",
};
_Static_assert(sizeof ranges / sizeof *ranges == PM_RANGE_N, "name every range");

const char *pm_range_name(enum pm_range range)
{
	return (unsigned)range < PM_RANGE_N ? ranges[range] : "?";
}

static const char *const facets[] = {
	[PM_FACET_UDP_SOURCE_PORT_ZERO] = "udp_source_port_zero",
	[PM_FACET_UDP_DESTINATION_PORT_ZERO] = "udp_destination_port_zero",
	[PM_FACET_UDPLITE_SOURCE_PORT_ZERO] = "udplite_source_port_zero",
	[PM_FACET_UDPLITE_DESTINATION_PORT_ZERO] = "udplite_destination_port_zero",
	[PM_FACET_TCP_PORT_ZERO] = "tcp_port_zero",
	[PM_FACET_SCTP_PORT_ZERO] = "sctp_port_zero",
	[PM_FACET_DCCP_PORT_ZERO] = "dccp_port_zero",
};
_Static_assert(sizeof facets / sizeof *facets == PM_FACET_N, "name every facet");

const char *pm_facet_name(enum pm_facet facet)
{
	return (unsigned)facet < PM_FACET_N ? facets[facet] : "?";
}

static const char *const talk_names[] = {
	[PM_TALK_SESSIONS] = "sessions",
	[PM_TALK_SYN] = "syn",
	[PM_TALK_REFUSED] = "refused",
	[PM_TALK_UNANSWERED] = "unanswered",
};
_Static_assert(sizeof talk_names / sizeof *talk_names == PM_TALK_N, "name every figure");

const char *pm_talk_name(enum pm_talk_figure figure)
{
	return (unsigned)figure < PM_TALK_N ? talk_names[figure] : "?";
}

static const char *const protocols[256] = {
	[0] = "hopopt", [1] = "icmp", [2] = "igmp", [3] = "ggp", [4] = "ipv4", [5] = "st", [6] = "tcp",
	[7] = "cbt", [8] = "egp", [9] = "igp", [10] = "bbn-rcc-mon", [11] = "nvp-ii", [12] = "pup",
	[14] = "emcon", [15] = "xnet", [16] = "chaos", [17] = "udp", [18] = "mux", [19] = "dcn-meas",
	[20] = "hmp", [21] = "prm", [22] = "xns-idp", [23] = "trunk-1", [24] = "trunk-2",
	[25] = "leaf-1", [26] = "leaf-2", [27] = "rdp", [28] = "irtp", [29] = "iso-tp4",
	[30] = "netblt", [31] = "mfe-nsp", [32] = "merit-inp", [33] = "dccp", [34] = "3pc",
	[35] = "idpr", [36] = "xtp", [37] = "ddp", [38] = "idpr-cmtp", [39] = "tp++", [40] = "il",
	[41] = "ipv6", [42] = "sdrp", [43] = "ipv6-route", [44] = "ipv6-frag", [45] = "idrp",
	[46] = "rsvp", [47] = "gre", [48] = "dsr", [49] = "bna", [50] = "esp", [51] = "ah",
	[52] = "i-nlsp", [54] = "narp", [55] = "min-ipv4", [56] = "tlsp", [57] = "skip",
	[58] = "ipv6-icmp", [59] = "ipv6-nonxt", [60] = "ipv6-opts", [62] = "cftp",
	[64] = "sat-expak", [65] = "kryptolan", [66] = "rvd", [67] = "ippc", [69] = "sat-mon",
	[70] = "visa", [71] = "ipcv", [72] = "cpnx", [73] = "cphb", [74] = "wsn", [75] = "pvp",
	[76] = "br-sat-mon", [77] = "sun-nd", [78] = "wb-mon", [79] = "wb-expak", [80] = "iso-ip",
	[81] = "vmtp", [82] = "secure-vmtp", [83] = "vines", [84] = "iptm", [85] = "nsfnet-igp",
	[86] = "dgp", [87] = "tcf", [88] = "eigrp", [89] = "ospfigp", [90] = "sprite-rpc",
	[91] = "larp", [92] = "mtp", [93] = "ax.25", [94] = "ipip", [96] = "scc-sp",
	[97] = "etherip", [98] = "encap", [100] = "gmtp", [101] = "ifmp", [102] = "pnni",
	[103] = "pim", [104] = "aris", [105] = "scps", [106] = "qnx", [107] = "a/n",
	[108] = "ipcomp", [109] = "snp", [110] = "compaq-peer", [111] = "ipx-in-ip", [112] = "vrrp",
	[113] = "pgm", [115] = "l2tp", [116] = "ddx", [117] = "iatp", [118] = "stp", [119] = "srp",
	[120] = "uti", [121] = "smp", [123] = "ptp", [124] = "isis over ipv4", [125] = "fire",
	[126] = "crtp", [127] = "crudp", [128] = "sscopmce", [129] = "iplt", [130] = "sps",
	[131] = "pipe", [132] = "sctp", [133] = "fc", [134] = "rsvp-e2e-ignore",
	[135] = "mobility header", [136] = "udplite", [137] = "mpls-in-ip", [138] = "manet",
	[139] = "hip", [140] = "shim6", [141] = "wesp", [142] = "rohc", [143] = "ethernet",
	[144] = "aggfrag", [145] = "nsh", [146] = "homa",
};

const char *pm_protocol_name(uint8_t protocol)
{
	return protocols[protocol];
}
