/* SPDX-License-Identifier: MIT */
/*
 * From the bytes of a frame to its ports, or to the reason why it has none. Sources: IEEE 802.3,
 * 802.11, 802.1Q, 802.1ad, 802.1ah, 802.1CB, 802.1BR, 802.1AE, IEC 62439-3; radiotap.org; RFC 791,
 * 8200, 2675, 4302, 3032, 4385, 4448, 4928, 5586, 6325, 8300, 2516, 1661, 3518, 2684; tunnels RFC
 * 2003, 2473, 4213, 2784, 2637, 7637, 2661, 3931, 7348, 8926, 4380, 7510, 3378 and others
 * (tunnels.c); transports RFC 9293, 768, 3828, 9260, 4340. No I/O, no allocation per frame.
 */
#ifndef PORTMETER_PACKET_H
#define PORTMETER_PACKET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "portmeter/base.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Transports that have ports. Each has its own 65,536. */
enum pm_transport {
	PM_TRANSPORT_TCP,
	PM_TRANSPORT_UDP,
	PM_TRANSPORT_UDPLITE,
	PM_TRANSPORT_SCTP,
	PM_TRANSPORT_DCCP,
	PM_TRANSPORT_N,
};
#define PM_PORTS 65536

/* "tcp", "udp", "udplite", "sctp", "dccp"; static. */
PM_API const char *pm_transport_name(enum pm_transport transport);
/* Finds a transport by its name of @size bytes (any case). False: no such. */
PM_API bool pm_transport_find(const char *name, size_t size, enum pm_transport *ret_transport);
/* UDP (RFC 768) and UDP-Lite (RFC 3828): a source port of 0 means "no port". */
static inline bool pm_transport_source_optional(enum pm_transport transport)
{
	return transport == PM_TRANSPORT_UDP || transport == PM_TRANSPORT_UDPLITE;
}

/* What a frame turned out to be. Every frame gets exactly one. */
enum pm_verdict {
	PM_VERDICT_PORTS,             /* transport and both ports are known */
	PM_VERDICT_NON_IP,            /* no IP layer, nor anything that announced one */
	PM_VERDICT_NO_PORTS_PROTOCOL, /* IP, but of a protocol without ports */
	PM_VERDICT_FRAGMENT,          /* a later fragment: its first fragment has the ports */
	PM_VERDICT_HEADER_TRUNCATED,  /* the capture ends before the ports */
	PM_VERDICT_MALFORMED,         /* the frame contradicts itself before the ports */
	PM_VERDICT_N,
};

/* Its name as a reason for having no ports: "non_ip", ..., "fragment_orphan"; "ports" for PORTS. */
PM_API const char *pm_verdict_name(enum pm_verdict verdict);

/* IPv4 addresses stand in the first four bytes, the rest is zero. */
struct pm_address {
	uint8_t bytes[16];
};

#define PM_ADDRESS_TEXT_SIZE 46 /* with the final NUL */
/* "192.0.2.1", "2001:db8::1" (RFC 5952); @ip_version 4 or 6, of anything else "". */
PM_API void pm_address_text(int ip_version, const struct pm_address *address,
			    char ret_text[PM_ADDRESS_TEXT_SIZE]);

/*
 * A keyed hash (pm_fold) of an address of @ip_version 4 or 6, whose 4 or 16 bytes stand at
 * @address. It tells addresses apart; for a place in a table take pm_endpoint_hash of it.
 */
static inline uint64_t pm_host_hash(struct pm_hash_key key, uint8_t ip_version,
				    const uint8_t *address)
{
	if (ip_version == 4)
		return pm_fold(pm_le32(address) ^ key.k0, key.k1 | 1);
	return pm_fold(pm_fold(pm_le64(address) ^ key.k1, pm_le64(address + 8) ^ key.k0) ^ key.k0,
		       key.k1 | 1);
}

/* The same of a port of that address; every bit of it is good. */
static inline uint64_t pm_endpoint_hash(uint64_t host, uint8_t transport, uint16_t port)
{
	/* an odd number near 2^64 divided by the golden ratio */
	return pm_fold(host ^ ((uint64_t)transport << 16 | port), UINT64_C(0x9e3779b97f4a7c15));
}

/* Notes on a packet; bits of pm_packet.notes. */
enum {
	PM_NOTE_FIRST_FRAGMENT = 1 << 0, /* offset 0, more to come */
	/* to a multicast or broadcast address, of IP or of the link */
	PM_NOTE_GROUP = 1 << 1,
	PM_NOTE_LENGTH = 1 << 2,         /* a length field claims more than the frame has */
	PM_NOTE_TCP_FLAGS = 1 << 3,      /* tcp_flags are valid */
	PM_NOTE_LATER_FRAGMENT = 1 << 4, /* not the first of its datagram */
	PM_NOTE_INNER = 1 << 5,          /* it is inside of a tunnel */
};

/* TCP header flags (RFC 9293, section 3.1). */
enum {
	PM_TCP_FIN = 0x01,
	PM_TCP_SYN = 0x02,
	PM_TCP_RST = 0x04,
	PM_TCP_PSH = 0x08,
	PM_TCP_ACK = 0x10,
};

/*
 * What a packet does to set up or end a conversation: TCP's flags (RFC 9293, section 3.5), the type
 * of SCTP's first chunk (RFC 9260, section 3.2) and of a DCCP packet (RFC 4340, section 5.1).
 */
enum pm_setup {
	PM_SETUP_NONE,    /* or not known */
	PM_SETUP_OPEN,    /* SYN; INIT; Request */
	PM_SETUP_ACCEPT,  /* SYN with ACK; INIT ACK; Response */
	PM_SETUP_CONFIRM, /* any later ACK; COOKIE ECHO; Ack */
	PM_SETUP_RESET,   /* RST; ABORT; Reset */
	PM_SETUP_N,
};

struct pm_packet {
	uint8_t verdict;      /* enum pm_verdict */
	uint8_t ip_version;   /* 4, 6; 0 when no IP header was read whole */
	uint8_t ip_protocol;  /* the last protocol number read; valid with ip_version */
	uint8_t transport;    /* enum pm_transport; valid with VERDICT_PORTS */
	uint16_t src_port;    /* host order; valid with VERDICT_PORTS */
	uint16_t dst_port;
	uint8_t notes;        /* PM_NOTE_ bits */
	uint8_t tcp_flags;    /* valid with PM_NOTE_TCP_FLAGS */
	uint8_t setup;        /* enum pm_setup; valid with VERDICT_PORTS */
	uint16_t vlan;        /* VLAN id of the outermost tag; 0 without one */
	uint32_t fragment_id; /* IP identification; valid for fragments, first or later */
	uint8_t fragment_protocol; /* with fragment_id: IPv4's own protocol field, which ip_protocol
				       is not behind AH; 0 in IPv6 */
	struct pm_address src, dst; /* valid with ip_version */
};

/* One row of the table of link types: a LINKTYPE_ number, its name, its decoder. */
struct pm_link;

/*
 * The row of LINKTYPE_ number @linktype (the numbers of capture files, not of one system). NULL:
 * not in the table.
 */
PM_API const struct pm_link *pm_link_find(uint32_t linktype);
/* Rows by index, for lists and fuzzers; NULL past the last. */
PM_API const struct pm_link *pm_link_at(size_t index);
PM_API uint32_t pm_link_number(const struct pm_link *link);
/* As in pcap-linktype(7), without prefix: "EN10MB"; static. */
PM_API const char *pm_link_name(const struct pm_link *link);

/*
 * Decodes one frame: @held captured bytes of the @wire that it had. A NULL @link is a type
 * that is not in the table: non_ip. Fills all of @ret_packet. Never fails: the verdict says it all.
 */
PM_API void pm_packet_decode(const struct pm_link *link, const uint8_t *bytes, size_t held,
			     size_t wire, struct pm_packet *ret_packet);

/*
 * Tunnels: packets in packets. Those of an IP protocol of their own (RFC 2003, 2784, ...) name
 * themselves; those in UDP are told by their ports, which a user may change.
 */
struct pm_tunnels; /* opaque; read-only once it is in use, so threads may share it */

/* With the registered ports. PM_E_MEMORY or 0. */
PM_API int pm_tunnels_new(struct pm_tunnels **ret_tunnels);
/* NULL is fine. */
PM_API void pm_tunnels_free(struct pm_tunnels *tunnels);
/*
 * UDP datagrams to or from @port hold a tunnel of kind @name, of @size bytes: "vxlan", "gtp", ...,
 * or "none". False: no such kind, or port 0, which is no port.
 */
PM_API bool pm_tunnels_set(struct pm_tunnels *tunnels, const char *name, size_t size,
			   uint16_t port);
/* Kinds by index, for lists; static; NULL past the last. */
PM_API const char *pm_tunnels_name(size_t index);
/* Whether a UDP datagram between these ports may hold a tunnel. */
PM_API bool pm_tunnels_hold(const struct pm_tunnels *tunnels, uint16_t src_port, uint16_t dst_port);

/*
 * As pm_packet_decode, but of the innermost IP layer that the frame shows. A tunnel that holds no
 * IP leaves the answer to the layer around it. @ret_carrier: the outermost datagram around that
 * layer of which the frame is the first fragment, with the addresses and the fragment's name of its
 * own, and verdict, protocol, transport and ports of @ret_packet, as which its later fragments
 * count; without PM_NOTE_FIRST_FRAGMENT there is none.
 */
PM_API void pm_packet_decode_inner(const struct pm_tunnels *tunnels, const struct pm_link *link,
				   const uint8_t *bytes, size_t held, size_t wire,
				   struct pm_packet *ret_packet, struct pm_packet *ret_carrier);

/*
 * What a frame of the commonest stacks is about, in one register: Ethernet, IPv4 without options or
 * IPv6 without extension headers, TCP or UDP, whole and not a fragment. 0: the frame is anything
 * else, ask pm_packet_decode. It costs a third of the whole packet, and says what that would say: a
 * test holds the two together.
 */
typedef uint64_t pm_brief;

PM_API pm_brief pm_packet_brief(const struct pm_link *link, const uint8_t *bytes, size_t held,
				size_t wire);

/* The brief of UDP (@udp 1) or TCP (0) at @h, of which as much is held as TCP's flags need. */
static PM_INLINE pm_brief pm_quick_transport(const uint8_t *h, uint64_t udp, uint64_t ip_version)
{
	const uint64_t tcp_is = ip_version << 56 | (uint64_t)PM_NOTE_TCP_FLAGS << 40;
	const uint64_t udp_is = ip_version << 56 | (uint64_t)PM_TRANSPORT_UDP << 32;
	uint64_t flags = h[13] & (udp - 1);

	/* no branch, since which of both it is nobody can predict */
	return pm_be32(h) | flags << 48 | (tcp_is ^ ((tcp_is ^ udp_is) & -udp));
}

/*
 * The same of a frame of Ethernet, for what most frames are: IPv4 to a single host, in which TCP's
 * flags are held, whatever else it carries. 0: look closer. At fixed offsets of bytes that have
 * been counted once.
 */
static PM_INLINE pm_brief pm_packet_quick(const uint8_t *bytes, size_t held, size_t wire)
{
	const size_t link = 14, ip = 20, least = link + ip + 14;
	const uint8_t *h = bytes + link;
	uint64_t fields, protocol;
	size_t total;

	/* IPv4, its version and header's length (RFC 791) */
	if (held < least || wire < least || (pm_le32(bytes + 12) & 0xffffff) != 0x450008)
		return 0;
	/*
	 * From the total length to the protocol. A fragment has an offset or "more fragments";
	 * "don't fragment" and the bit that is reserved make none.
	 */
	fields = pm_le64(h + 2);
	total = pm_be16(h + 2);
	protocol = fields >> 56;
	/* no branch tells UDP from TCP, which none could predict; multicast is 224 and above */
	if (fields & UINT64_C(0xff3f00000000) || protocol > 17 ||
	    !((1U << 6 | 1U << 17) >> protocol & 1) || total - (least - link) > wire - least ||
	    bytes[0] & 1 || h[16] >= 224)
		return 0;
	return pm_quick_transport(h + ip, protocol >> 4, 4);
}

/* The same of IPv6 without extension headers (RFC 8200). */
static PM_INLINE pm_brief pm_packet_quick_ip6(const uint8_t *bytes, size_t held, size_t wire)
{
	const size_t link = 14, ip = 40, least = link + ip + 14;
	const uint8_t *h = bytes + link;
	uint64_t udp;
	size_t payload;

	if (held < least || wire < least || pm_be16(bytes + 12) != 0x86dd)
		return 0;
	udp = h[6] == 17;
	payload = pm_be16(h + 4);
	if ((h[0] >> 4 != 6) | !(udp | (h[6] == 6)) |
	    (payload - (least - link - ip) > wire - least) | (bytes[0] & 1) | (h[24] == 0xff))
		return 0;
	return pm_quick_transport(h + ip, udp, 6);
}

/* Its parts; as in struct pm_packet. The addresses stand behind pm_brief_network bytes. */
static inline uint16_t pm_brief_src_port(pm_brief brief)
{
	return (uint16_t)(brief >> 16);
}

static inline uint16_t pm_brief_dst_port(pm_brief brief)
{
	return (uint16_t)brief;
}

static inline uint8_t pm_brief_transport(pm_brief brief)
{
	return (uint8_t)(brief >> 32);
}

static inline uint8_t pm_brief_notes(pm_brief brief)
{
	return (uint8_t)(brief >> 40);
}

static inline uint8_t pm_brief_tcp_flags(pm_brief brief)
{
	return (uint8_t)(brief >> 48);
}

static inline uint8_t pm_brief_ip_version(pm_brief brief)
{
	return (uint8_t)(brief >> 56 & 0xf);
}

/* The bytes of the frame before its IP header. */
static inline size_t pm_brief_network(pm_brief brief)
{
	return 14 + 4 * (size_t)(brief >> 60);
}

/* The same for any packet with ports, for those who want it; the addresses stand elsewhere. */
static inline pm_brief pm_brief_of(const struct pm_packet *packet)
{
	return (uint64_t)packet->src_port << 16 | packet->dst_port |
	       (uint64_t)packet->transport << 32 | (uint64_t)packet->notes << 40 |
	       (uint64_t)packet->tcp_flags << 48 | (uint64_t)packet->ip_version << 56;
}

/*
 * A conversation of a transport: both of its ends in one number, whichever sent the frame; and in
 * the lowest bit, which of them did. Keyed (pm_fold), and of no meaning elsewhere. 0: none.
 */
typedef uint64_t pm_flow;

/*
 * An end of it; the port's bytes as they stand in the frame, read as pm_le16. Of IPv4 a product
 * less than pm_endpoint_hash of pm_host_hash, so all bits of the key must count.
 */
static PM_INLINE uint64_t pm_flow_end(struct pm_hash_key key, uint64_t address, uint16_t port)
{
	return pm_fold(address ^ (uint64_t)port << 32 ^ key.k0, key.k1 | 1);
}

/* An address in so many bits, for that. */
static PM_INLINE uint64_t pm_flow_address(struct pm_hash_key key, uint8_t ip_version,
					  const uint8_t *address)
{
	if (ip_version == 4)
		return pm_le32(address);
	return pm_fold(pm_le64(address) ^ key.k1, pm_le64(address + 8) ^ key.k0);
}

static PM_INLINE pm_flow pm_flow_join(uint64_t src_end, uint64_t dst_end, uint8_t transport)
{
	/* an odd number near 2^64 divided by the golden ratio */
	uint64_t both = src_end + dst_end + transport * UINT64_C(0x9e3779b97f4a7c15);

	return (both & ~UINT64_C(1)) | (src_end > dst_end);
}

/* That of a brief between addresses of 4 or 16 bytes. */
static PM_INLINE pm_flow pm_flow_of(struct pm_hash_key key, pm_brief brief, const uint8_t *src,
				    const uint8_t *dst)
{
	uint8_t version = pm_brief_ip_version(brief);
	uint16_t src_port = __builtin_bswap16(pm_brief_src_port(brief));
	uint16_t dst_port = __builtin_bswap16(pm_brief_dst_port(brief));

	return pm_flow_join(pm_flow_end(key, pm_flow_address(key, version, src), src_port),
			    pm_flow_end(key, pm_flow_address(key, version, dst), dst_port),
			    pm_brief_transport(brief));
}

/* What most frames are, and no more than it takes to count those. */
struct pm_glimpse {
	const uint8_t *addresses; /* source, and destination behind it */
	uint32_t ports;           /* as in a brief */
	uint8_t ip_version;
	uint8_t transport; /* TCP or UDP */
};

/*
 * The same as pm_packet_brief of a frame of Ethernet that is not 0: of UDP, or a segment of TCP
 * that neither opens nor breaks off, and acknowledges; not tagged, and not to a group of the link.
 * False: it is anything else, or looks so. At fixed offsets of bytes that have been counted once.
 */
static PM_INLINE bool pm_packet_glimpse(const uint8_t *bytes, size_t held, size_t wire,
					struct pm_glimpse *ret_glimpse)
{
	const size_t least4 = 14 + 20 + 14, least6 = 14 + 40 + 14;
	const uint8_t setup = PM_TCP_SYN | PM_TCP_RST | PM_TCP_ACK;
	bool version4;
	uint64_t begin, udp;

	if (held < least4 || wire < least4)
		return false;
	begin = pm_le64(bytes + 12); /* type; version and more; IPv4: length */
	version4 = (begin & 0xffffff) == 0x450008;
	if (version4) {
		uint64_t middle = pm_le64(bytes + 20); /* fragment, time to live, protocol */
		size_t total = __builtin_bswap16((uint16_t)(begin >> 32));

		udp = (middle >> 24 & 0xff) == 17;
		/* one branch for all, of which nobody can predict some */
		if ((middle & 0xff3f) | (bytes[0] & 1) | (total - 34 > wire - least4) |
		    !(udp | (((middle >> 24 & 0xff) == 6) & ((bytes[47] & setup) == PM_TCP_ACK))))
			return false;
	} else {
		if ((begin & 0xf0ffff) != 0x60dd86 || held < least6 || wire < least6)
			return false;
		udp = bytes[20] == 17;
		if ((bytes[0] & 1) | ((size_t)pm_be16(bytes + 18) - 14 > wire - least6) |
		    !(udp | ((bytes[20] == 6) & ((bytes[67] & setup) == PM_TCP_ACK))))
			return false;
	}
	ret_glimpse->addresses = bytes + (version4 ? 26 : 22);
	ret_glimpse->ports = pm_be32(bytes + (version4 ? 34 : 54));
	ret_glimpse->ip_version = version4 ? 4 : 6;
	ret_glimpse->transport = (uint8_t)udp;
	return true;
}

/* What a brief has of it; notes and TCP's flags are left 0. */
static PM_INLINE pm_brief pm_glimpse_brief(const struct pm_glimpse *glimpse)
{
	return glimpse->ports | (uint64_t)glimpse->transport << 32 |
	       (uint64_t)glimpse->ip_version << 56;
}

/* Its pm_flow_of: the ports stand behind the addresses. */
static PM_INLINE pm_flow pm_glimpse_flow(struct pm_hash_key key, const struct pm_glimpse *glimpse)
{
	const uint8_t *at = glimpse->addresses;
	uint64_t src, dst;
	uint32_t ports;

	if (glimpse->ip_version == 4) {
		src = pm_le32(at);
		dst = pm_le32(at + 4);
		ports = pm_le32(at + 8);
	} else {
		src = pm_flow_address(key, 6, at);
		dst = pm_flow_address(key, 6, at + 16);
		ports = pm_le32(at + 32);
	}
	return pm_flow_join(pm_flow_end(key, src, (uint16_t)ports),
			    pm_flow_end(key, dst, (uint16_t)(ports >> 16)), glimpse->transport);
}

/* What TCP's flags say; those that no one sends together say nothing. */
static inline enum pm_setup pm_tcp_setup(uint8_t flags)
{
	if (flags & PM_TCP_RST)
		return flags & PM_TCP_SYN ? PM_SETUP_NONE : PM_SETUP_RESET;
	if (flags & PM_TCP_SYN)
		return flags & PM_TCP_FIN   ? PM_SETUP_NONE
		       : flags & PM_TCP_ACK ? PM_SETUP_ACCEPT
					    : PM_SETUP_OPEN;
	return flags & PM_TCP_ACK ? PM_SETUP_CONFIRM : PM_SETUP_NONE;
}

/*
 * Fragments (RFC 791 section 3.2, RFC 8200 section 4.5). Only a datagram's first fragment
 * holds the ports; later ones are counted as it was, whichever comes first. The table is
 * bounded in datagrams and in waiting frames; when full, the datagram longest untouched
 * gives way, and its waiting frames are handed back as orphans.
 */

/* What a first fragment decided for its datagram. */
struct pm_fragment_origin {
	uint8_t verdict;     /* PM_VERDICT_PORTS or PM_VERDICT_NO_PORTS_PROTOCOL */
	uint8_t ip_protocol; /* as in the first fragment, behind extension headers */
	uint8_t transport;   /* enum pm_transport, with PORTS */
	uint16_t src_port, dst_port;
	uint32_t note; /* the caller's own, given back untouched (the side, the label) */
	uint64_t number; /* of the first fragment's frame */
	uint8_t ip_version;         /* whose ports they are */
	struct pm_address src, dst;
};

/* A later fragment that waits for its first; plain data that the table keeps for the caller. */
struct pm_fragment_frame {
	uint64_t number; /* of the frame */
	int64_t time_ns;
	uint32_t wire; /* bytes */
};

/* Called for each waiting frame that stops waiting; a NULL @origin makes it an orphan. */
typedef void pm_fragment_release_fn(void *ctx, const struct pm_fragment_frame *frame,
				    const struct pm_fragment_origin *origin);

struct pm_fragments_options {
	size_t datagrams; /* how many are remembered; 0: 8192 */
	size_t frames;    /* how many may wait; 0: 16384 */
	/*
	 * after this a first or a waiting fragment is forgotten; 0: 120 s (RFC 1122, section 3.3.2)
	 */
	int64_t expiry_ns;
	struct pm_hash_key key;
	pm_fragment_release_fn *release;
	void *ctx;
};

struct pm_fragments; /* opaque; one per source, used by one thread */

/* PM_E_MEMORY, PM_E_INVALID (no release function) or 0. */
PM_API int pm_fragments_new(const struct pm_fragments_options *options,
			    struct pm_fragments **ret_fragments);
/* NULL is fine. Waiting frames are dropped without a call: flush first. */
PM_API void pm_fragments_free(struct pm_fragments *fragments);

/*
 * A first fragment (PM_NOTE_FIRST_FRAGMENT) in @frame: remembers @counts, as which its later ones
 * count (verdict PORTS or NO_PORTS_PROTOCOL; the same packet, or one inside of it), and @note, and
 * releases those that waited for it. It replaces an older first of the same datagram.
 */
PM_API void pm_fragments_first(struct pm_fragments *fragments, const struct pm_packet *packet,
			       const struct pm_packet *counts,
			       const struct pm_fragment_frame *frame, uint32_t note);
/*
 * A later fragment (PM_VERDICT_FRAGMENT). Returns what its first fragment decided, borrowed until
 * the next call; or NULL: then @frame waits, or, when there is no room, has been released as an
 * orphan.
 */
PM_API const struct pm_fragment_origin *pm_fragments_later(struct pm_fragments *fragments,
							   const struct pm_packet *packet,
							   const struct pm_fragment_frame *frame);
/* Releases every waiting frame as an orphan; the first fragments stay known. */
PM_API void pm_fragments_flush(struct pm_fragments *fragments);
/* How many datagrams, and how many waiting frames, gave way to newer ones since the last call. */
PM_API void pm_fragments_given_up(struct pm_fragments *fragments, uint64_t *ret_datagrams,
				  uint64_t *ret_frames);

#ifdef __cplusplus
}
#endif

#endif
