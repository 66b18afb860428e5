/* SPDX-License-Identifier: MIT */
/* What a run may still do once it reads what strangers have sent. */
#ifndef PORTMETER_SANDBOX_H
#define PORTMETER_SANDBOX_H

#include "app.h"
#include "privileges.h"

/* Who a run goes on as; decided before anything is opened. */
struct stance {
	bool changes;  /* becomes @identity; else it stays who it is */
	bool owns;     /* @identity can write -o, so it is opened as that user */
	bool bare;     /* started with rights that an ordinary user has not */
	bool shrinks;  /* some of them go: what can be opened now may be out of reach then */
	bool fixed;    /* -o stays as it is opened now: HUP can't open it anew */
	char why[256]; /* live: what there is to say of it; "" */
	char exposed[256]; /* live: what that means for the folder of -o; "" */
	struct identity identity;
};

/*
 * Whom -Z names; started as root, portmeter or nobody, or whoever can write -o, or nobody else.
 * False, and said: the user of -Z is not there or can't do what is to be done.
 */
bool sandbox_choose(const struct options *options, struct stance *ret_stance);
/*
 * Gives up rights and closes what need not be open, before the first byte is read and the first
 * thread is started. @by_name: capture files are opened afterwards; root then stays root if only
 * its kindness made it another user. False, and said, when it can't be done.
 */
bool sandbox_enter(const struct options *options, const struct stance *stance, bool by_name);

#endif
