/* SPDX-License-Identifier: MIT */
/*
 * Events of conversations, told to whoever wants them: only what is looked at. What belongs to no
 * frame at hand, attempts that nobody has answered or not in time, is told by openings.c.
 */
#ifndef PM_TELL_H
#define PM_TELL_H

#include "learn-internal.h"

/*
 * Tells an event of the frame's conversation, if anybody wants to know. @client_is_src: the one
 * that opened sent the frame; @turned: it is the service.
 */
static PM_INLINE void pm_tell(const struct pm_learner *learner, enum pm_event event,
			      const struct pm_sight *sight, bool client_is_src, bool turned)
{
	uint8_t version = pm_brief_ip_version(sight->brief);
	uint16_t src_port = pm_brief_src_port(sight->brief);
	uint16_t dst_port = pm_brief_dst_port(sight->brief);
	bool to = client_is_src != turned; /* the frame goes to the service */
	uint8_t transport = pm_brief_transport(sight->brief);
	struct pm_evidence evidence;

	if (!learner->options.event)
		return;
	if (!pm_watch_cares(event, transport, client_is_src ? src_port : dst_port,
			    client_is_src ? dst_port : src_port) &&
	    !pm_rules_scoped(learner->rules, (enum pm_transport)transport,
			     to ? dst_port : src_port)) {
		/* no more of it is looked at */
		evidence.ip_version = 0;
		evidence.turned = turned;
		evidence.event = (uint8_t)event;
		evidence.transport = transport;
		evidence.client_port = to ? src_port : dst_port;
		evidence.server_port = to ? dst_port : src_port;
		learner->options.event(learner->options.ctx, &evidence);
		return;
	}
	evidence = (struct pm_evidence){
		.event = (uint8_t)event,
		.ip_version = version,
		.transport = transport,
		.link_known = sight->link != NULL,
		.client_port = to ? src_port : dst_port,
		.server_port = to ? dst_port : src_port,
		.turned = turned,
		.number = sight->number,
		.time_ns = sight->time_ns,
		.wire = sight->wire,
	};
	pm_address_set(&evidence.client, version, to ? sight->src : sight->dst);
	pm_address_set(&evidence.server, version, to ? sight->dst : sight->src);
	if (sight->link)
		memcpy(evidence.link, sight->link, sizeof evidence.link);
	learner->options.event(learner->options.ctx, &evidence);
}

#endif
