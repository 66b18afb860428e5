/* SPDX-License-Identifier: MIT */
/*
 * Basic authentication (RFC 7617). The file holds passwords as they are, and nobody but its owner
 * may read it: why there are no hashes is in docs/architecture.md.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include "web-internal.h"

#define FILE_MAX ((size_t)64 << 10)
/* What the library takes of a header is longer than any of these. */
#define LINE_MAX_SIZE 512

/* Digests of USER:PASSWORD with a key of this run: equal lengths, and nothing to be learned. */
struct credentials {
	struct pm_hash_key key;
	size_t n;
	uint8_t digests[][PM_SHA256_SIZE];
};

static void digest_of(const struct pm_hash_key *key, const char *text, size_t size,
		      uint8_t ret_digest[PM_SHA256_SIZE])
{
	struct pm_sha256 sha;

	pm_sha256_init(&sha);
	pm_sha256_update(&sha, key, sizeof *key);
	pm_sha256_update(&sha, text, size);
	pm_sha256_final(&sha, ret_digest);
}

static int read_all(int fd, const char *path, char *text, size_t *ret_size, struct pm_error *err)
{
	size_t size = 0;
	struct stat st;

	if (fstat(fd, &st) < 0)
		return pm_error_set(err, PM_E_IO, path, 0, 0, "can't read: %s", strerror(errno));
	if (st.st_mode & (S_IRWXG | S_IRWXO))
		return pm_error_set(err, PM_E_INVALID, path, 0, 0,
				    "others may read the passwords in it: chmod 600 %s", path);
	while (size < FILE_MAX) {
		ssize_t n = read(fd, text + size, FILE_MAX - size);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return pm_error_set(err, PM_E_IO, path, 0, 0, "can't read: %s",
					    strerror(errno));
		if (n == 0) {
			*ret_size = size;
			return PM_OK;
		}
		size += (size_t)n;
	}
	return pm_error_set(err, PM_E_INVALID, path, 0, 0, "is too long for a file of passwords");
}

/* A line; the user is what stands before the first colon, and neither may be empty. */
static int add_line(struct credentials *credentials, const char *path, int line, const char *text,
		    size_t size, struct pm_error *err)
{
	const char *colon = memchr(text, ':', size);

	if (size > 0 && text[size - 1] == '\r')
		size--;
	if (size == 0 || text[0] == '#')
		return PM_OK;
	if (!colon || colon == text || colon + 1 >= text + size || size > LINE_MAX_SIZE ||
	    memchr(text, '\0', size))
		return pm_error_set(err, PM_E_INVALID, path, line, 0,
				    "is not USER:PASSWORD, or longer than %d bytes", LINE_MAX_SIZE);
	digest_of(&credentials->key, text, size, credentials->digests[credentials->n++]);
	return PM_OK;
}

static int parse(struct credentials *credentials, const char *path, const char *text, size_t size,
		 struct pm_error *err)
{
	const char *end = text + size;
	int r = PM_OK;

	for (int line = 1; text < end && r == PM_OK; line++) {
		const char *stop = memchr(text, '\n', (size_t)(end - text));

		stop = stop ? stop : end;
		r = add_line(credentials, path, line, text, (size_t)(stop - text), err);
		text = stop + 1;
	}
	if (r == PM_OK && credentials->n == 0)
		r = pm_error_set(err, PM_E_INVALID, path, 0, 0, "has no line USER:PASSWORD");
	return r;
}

int pm_web_credentials_load(const char *path, struct pm_error *err,
			    struct credentials **ret_credentials)
{
	struct credentials *credentials;
	char *text = malloc(FILE_MAX);
	size_t size = 0;
	int fd, r;

	/* A line takes four bytes at least, with its end. */
	credentials = calloc(1, sizeof *credentials +
					(FILE_MAX / 4 + 1) * sizeof credentials->digests[0]);
	if (!text || !credentials) {
		free(text);
		free(credentials);
		return PM_E_MEMORY;
	}
	credentials->key = pm_hash_key_random();
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0) {
		r = pm_error_set(err, PM_E_IO, path, 0, 0, "can't open: %s", strerror(errno));
	} else {
		r = read_all(fd, path, text, &size, err);
		close(fd);
	}
	if (r == PM_OK)
		r = parse(credentials, path, text, size, err);
	explicit_bzero(text, FILE_MAX);
	free(text);
	if (r < 0) {
		free(credentials);
		return r;
	}
	*ret_credentials = credentials;
	return PM_OK;
}

void pm_web_credentials_free(struct credentials *credentials)
{
	free(credentials);
}

static int base64_digit(char c)
{
	static const char digits[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	const char *at = c ? strchr(digits, c) : NULL;

	return at ? (int)(at - digits) : -1;
}

/*
 * RFC 4648, section 4; padding may lack. Bits beyond the last byte must be zero (section 3.5): the
 * same bytes are not to be spelled in several ways. False: it is none, or longer than @max bytes.
 */
static bool base64(const char *text, char *ret_bytes, size_t max, size_t *ret_size)
{
	uint32_t bits = 0;
	size_t size = 0, n = 0;

	for (; base64_digit(*text) >= 0; text++) {
		bits = bits << 6 | (uint32_t)base64_digit(*text);
		if (++n % 4 == 1)
			continue;
		if (size == max)
			return false;
		ret_bytes[size++] = (char)(bits >> (n % 4 ? 8 - n % 4 * 2 : 0));
	}
	text += strspn(text, "=");
	*ret_size = size;
	if (n % 4 == 1 || (n % 4 && bits & ((1u << (8 - n % 4 * 2)) - 1)))
		return false;
	return text[strspn(text, " \t")] == '\0';
}

bool pm_web_credentials_hold(const struct credentials *credentials, const char *authorization)
{
	static const char scheme[] = "Basic ";
	char text[LINE_MAX_SIZE];
	uint8_t digest[PM_SHA256_SIZE], found = 0;
	size_t size = 0;
	bool readable = strncasecmp(authorization, scheme, sizeof scheme - 1) == 0;

	if (readable) {
		authorization += sizeof scheme - 1;
		authorization += strspn(authorization, " ");
		readable = base64(authorization, text, sizeof text, &size);
	}
	digest_of(&credentials->key, text, readable ? size : 0, digest);
	for (size_t i = 0; i < credentials->n; i++) {
		uint8_t differs = 0;

		for (size_t at = 0; at < sizeof digest; at++)
			differs |= digest[at] ^ credentials->digests[i][at];
		found |= (uint8_t)(differs == 0);
	}
	explicit_bzero(text, sizeof text);
	return readable && found;
}
