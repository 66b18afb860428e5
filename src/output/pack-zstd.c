/* SPDX-License-Identifier: MIT */
/* RFC 8878, by libzstd, with the checksum that is optional there. */
#include <stdlib.h>
#include <zstd.h>

#include "output-internal.h"

struct zstd {
	ZSTD_CCtx *context;
	char packed[(size_t)64 << 10];
};

static void end(void *state)
{
	struct zstd *zstd = state;

	ZSTD_freeCCtx(zstd->context);
	free(zstd);
}

static int begin(void **ret_state)
{
	struct zstd *zstd = calloc(1, sizeof *zstd);

	if (!zstd)
		return PM_E_MEMORY;
	zstd->context = ZSTD_createCCtx();
	if (!zstd->context ||
	    ZSTD_isError(ZSTD_CCtx_setParameter(zstd->context, ZSTD_c_checksumFlag, 1))) {
		end(zstd);
		return PM_E_MEMORY;
	}
	*ret_state = zstd;
	return PM_OK;
}

static bool pack(void *state, const void *bytes, size_t size, bool last,
		 bool (*put)(void *ctx, const void *bytes, size_t size), void *ctx)
{
	struct zstd *zstd = state;
	ZSTD_inBuffer in = { bytes, size, 0 };
	size_t left;

	do {
		ZSTD_outBuffer out = { zstd->packed, sizeof zstd->packed, 0 };

		left = ZSTD_compressStream2(zstd->context, &out, &in,
					    last ? ZSTD_e_end : ZSTD_e_continue);
		if (ZSTD_isError(left) || !put(ctx, zstd->packed, out.pos))
			return false;
	} while (last ? left != 0 : in.pos < in.size);
	return true;
}

static const struct packing zstd_packing = { ".zst", begin, pack, end };
const struct packing *const pm_packing_zstd = &zstd_packing;
