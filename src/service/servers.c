/* SPDX-License-Identifier: MIT */
/*
 * Endpoints that serve, for the rung learned: known from a handshake on, as long as they are used.
 * Of those that share a line of the table the longest unused gives way. A mark for each port of TCP
 * says whether any endpoint there serves.
 */
#include "learn-internal.h"

/* Endpoints that nobody has used for so long have moved or gone: hours, as leases of addresses. */
#define ENDPOINT_LIFE_MIN 120

enum { ENDPOINTS = 65536 };

struct pm_port_of {
	uint16_t port;
	uint8_t transport;
};

int pm_servers_new(struct pm_learner *learner)
{
	const struct pm_learner_options *options = &learner->options;
	size_t places;

	if (pm_words_new(&learner->endpoints,
			 options->endpoints ? options->endpoints : ENDPOINTS, 16) < 0)
		return PM_E_MEMORY;
	places = (size_t)learner->endpoints.lines * PM_WAYS;
	learner->ports = calloc(places, sizeof *learner->ports);
	if (options->explains)
		learner->since = calloc(places, sizeof *learner->since);
	if (!learner->ports || (options->explains && !learner->since))
		return PM_E_MEMORY;
	return PM_OK;
}

void pm_servers_free(struct pm_learner *learner)
{
	pm_words_free(&learner->endpoints);
	free(learner->ports);
	free(learner->since);
}

static void mark_server(struct pm_learner *learner, uint8_t transport, uint16_t port)
{
	if (transport == PM_TRANSPORT_TCP)
		learner->marks[port] |= PM_MARK_SERVES;
	pm_heat(learner, transport, port);
}

void pm_servers_heat(struct pm_learner *learner)
{
	size_t places = (size_t)learner->endpoints.lines * PM_WAYS;

	for (size_t i = 0; learner->n_endpoints && i < places; i++)
		if (learner->endpoints.at[i])
			mark_server(learner, learner->ports[i].transport, learner->ports[i].port);
}

static bool is_old(uint16_t minute, uint16_t now)
{
	return pm_is_older(minute, now, ENDPOINT_LIFE_MIN);
}

bool pm_servers_see(struct pm_learner *learner, uint64_t hash, uint16_t now)
{
	uint64_t *word = pm_words_find(&learner->endpoints, hash);

	if (!word)
		return false;
	if (is_old((uint16_t)*word, now)) {
		*word = 0;
		learner->n_endpoints--;
		return false;
	}
	if ((uint16_t)*word != now)
		*word = (*word & ~UINT64_C(0xffff)) | now;
	return true;
}

/*
 * Minutes since an endpoint's last use, or until then: behind a time that was wrong and ahead, what
 * was used in it gives way first.
 */
static int unused(uint64_t word, uint16_t now)
{
	int minutes = (int16_t)(now - (uint16_t)word);

	return minutes < 0 ? -minutes : minutes;
}

void pm_servers_learn(struct pm_learner *learner, const struct pm_sight *sight, uint64_t hash,
		      uint16_t port)
{
	uint8_t transport = pm_brief_transport(sight->brief);
	uint16_t now = pm_sight_minute(sight);
	uint64_t *line = pm_words_line(&learner->endpoints, hash), *place = line;
	bool news = transport == PM_TRANSPORT_TCP && !(learner->marks[port] & PM_MARK_SERVES);

	if (pm_servers_see(learner, hash, now))
		return;
	/* A free place, or else that of the longest unused. */
	for (int i = 0; i < PM_WAYS && *place; i++)
		if (!line[i] || unused(line[i], now) > unused(*place, now))
			place = &line[i];
	if (!*place)
		learner->n_endpoints++;
	else if (!is_old((uint16_t)*place, now)) {
		learner->lost.endpoints++;
		news = true;
	}
	/* What was decided because of another's place here, or because no port like this served. */
	if (news)
		pm_flows_forget(&learner->flows);
	else
		pm_flows_forget_weak(&learner->flows);
	*place = pm_words_tag(&learner->endpoints, hash) | now;
	learner->ports[place - learner->endpoints.at] = (struct pm_port_of){ port, transport };
	if (learner->since)
		learner->since[place - learner->endpoints.at] = sight->number;
	mark_server(learner, transport, port);
}

void pm_servers_explain(const struct pm_learner *learner, uint64_t hash, uint16_t now,
			struct pm_end_grounds *grounds)
{
	const uint64_t *word = pm_words_find(&learner->endpoints, hash);

	grounds->served = word && !is_old((uint16_t)*word, now);
	if (grounds->served && learner->since)
		grounds->since = learner->since[word - learner->endpoints.at];
}
