/* SPDX-License-Identifier: MIT */
/* Numbered strings; and the list of rules that refers to them. */
#include <stdlib.h>
#include <string.h>

#include "service-internal.h"

static int set_room(void *array, size_t *room, size_t more, size_t size)
{
	void *old, *new;

	memcpy(&old, array, sizeof old);
	new = more > SIZE_MAX / size ? NULL : realloc(old, more * size);
	if (!new)
		return PM_E_MEMORY;
	memcpy(array, &new, sizeof new);
	*room = more;
	return 0;
}

int pm_list_grow(void *array, size_t *room, size_t n, size_t size)
{
	return n < *room ? 0 : set_room(array, room, *room ? *room * 2 : 64, size);
}

static int text_grow(struct pm_strings *strings, size_t size)
{
	size_t need = strings->size + size + 1, room = strings->room ? strings->room : 4096;
	char *text;

	if (need <= strings->room)
		return 0;
	if (need > UINT32_MAX) /* offsets have 32 bits */
		return PM_E_MEMORY;
	while (room < need)
		room *= 2;
	text = realloc(strings->text, room);
	if (!text)
		return PM_E_MEMORY;
	strings->text = text;
	strings->room = room;
	return 0;
}

int pm_strings_add(struct pm_strings *strings, const char *bytes, size_t size, uint32_t *ret_number)
{
	size_t room = strings->strings_room;
	int code = text_grow(strings, size);

	if (code == 0)
		code = pm_list_grow(&strings->strings, &room, strings->n, sizeof *strings->strings);
	if (code)
		return code;
	strings->strings_room = (uint32_t)room;
	strings->strings[strings->n] = (struct pm_string){ (uint32_t)strings->size, 0 };
	if (size)
		memcpy(strings->text + strings->size, bytes, size);
	strings->text[strings->size + size] = '\0';
	strings->size += size + 1;
	*ret_number = ++strings->n;
	return 0;
}

const char *pm_strings_at(const struct pm_strings *strings, uint32_t number)
{
	return number ? strings->text + strings->strings[number - 1].at : NULL;
}

/* Slots for @n strings, at most half of them full, so that a search ends soon. */
static int slots_grow(struct pm_strings *strings, size_t n)
{
	uint32_t n_slots = strings->n_slots ? strings->n_slots : 256;
	uint32_t *slots;

	if (n * 2 <= strings->n_slots)
		return 0;
	while (n_slots < n * 2)
		n_slots *= 2;
	slots = calloc(n_slots, sizeof *slots);
	if (!slots)
		return PM_E_MEMORY;
	if (!strings->slots)
		strings->key = pm_hash_key_random();
	for (uint32_t i = 0; i < strings->n; i++) {
		uint32_t slot = strings->strings[i].hash & (n_slots - 1);

		while (slots[slot])
			slot = (slot + 1) & (n_slots - 1);
		slots[slot] = i + 1;
	}
	free(strings->slots);
	strings->slots = slots;
	strings->n_slots = n_slots;
	return 0;
}

static bool string_is(const struct pm_strings *strings, uint32_t number, uint32_t hash,
		      const char *bytes, size_t size)
{
	const struct pm_string *string = &strings->strings[number - 1];
	const char *text = strings->text + string->at;

	return string->hash == hash && strncmp(text, bytes, size) == 0 && text[size] == '\0';
}

int pm_strings_intern(struct pm_strings *strings, const char *bytes, size_t size,
		      uint32_t *ret_number)
{
	uint32_t hash, slot;
	int code = slots_grow(strings, (size_t)strings->n + 1);

	if (code)
		return code;
	hash = (uint32_t)pm_hash(strings->key, bytes, size);
	slot = hash & (strings->n_slots - 1);
	while (strings->slots[slot]) {
		if (string_is(strings, strings->slots[slot], hash, bytes, size)) {
			*ret_number = strings->slots[slot];
			return 0;
		}
		slot = (slot + 1) & (strings->n_slots - 1);
	}
	code = pm_strings_add(strings, bytes, size, ret_number);
	if (code)
		return code;
	strings->strings[*ret_number - 1].hash = hash;
	strings->slots[slot] = *ret_number;
	return 0;
}

int pm_strings_reserve(struct pm_strings *strings, size_t n, size_t size)
{
	size_t room = strings->strings_room;
	int code = text_grow(strings, size);

	if (code == 0)
		code = slots_grow(strings, n);
	if (code == 0 && n > room)
		code = set_room(&strings->strings, &room, n, sizeof *strings->strings);
	strings->strings_room = (uint32_t)room;
	return code;
}

void pm_strings_fini(struct pm_strings *strings)
{
	free(strings->text);
	free(strings->strings);
	free(strings->slots);
}

int pm_list_reserve(struct pm_list *list, size_t n)
{
	return n > list->room ? set_room(&list->rules, &list->room, n, sizeof *list->rules) : 0;
}

int pm_list_add(struct pm_list *list, const struct pm_rule *rule)
{
	int code = pm_list_grow(&list->rules, &list->room, list->n, sizeof *list->rules);

	if (code)
		return code;
	list->rules[list->n++] = *rule;
	for (unsigned bits = rule->transports; bits; bits &= bits - 1)
		list->entries++;
	return 0;
}

int pm_list_check(const struct pm_list *list, struct pm_report *report, struct pm_place place)
{
	if (list->entries > PM_ENTRIES_MAX)
		return pm_report_fail(report, PM_E_RULES, place, "more than %d rules",
				      PM_ENTRIES_MAX);
	if (list->names.n > PM_SERVICES_MAX)
		return pm_report_fail(report, PM_E_RULES, place, "more than %d different names",
				      PM_SERVICES_MAX);
	return 0;
}

int pm_list_file(struct pm_list *list, const char *name, const uint8_t digest[PM_SHA256_SIZE])
{
	const char *base = pm_base_name(name);
	char hex[PM_SHA256_HEX_SIZE];
	uint32_t number;

	if (list->files.n == 0)
		pm_sha256_init(&list->sha);
	pm_sha256_hex(digest, hex);
	pm_sha256_update(&list->sha, base, strlen(base) + 1);
	hex[PM_SHA256_HEX_SIZE - 1] = '\n';
	pm_sha256_update(&list->sha, hex, sizeof hex);
	return pm_strings_add(&list->files, name, strlen(name), &number);
}

void pm_list_fini(struct pm_list *list)
{
	pm_strings_fini(&list->names);
	pm_strings_fini(&list->categories);
	pm_strings_fini(&list->aliases);
	pm_strings_fini(&list->files);
	free(list->rules);
	free(list->hosts);
}
