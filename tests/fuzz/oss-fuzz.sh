#!/bin/bash
# SPDX-License-Identifier: MIT
# Builds the fuzz targets as OSS-Fuzz asks for it (google.github.io/oss-fuzz, "build.sh"): its Dockerfile installs
# what scripts/bootstrap lists, and calls this. From the environment:
#
#   CC CXX CFLAGS CXXFLAGS     compilers, with the sanitizer's and the engine's options
#   LIB_FUZZING_ENGINE         what targets are linked with
#   OUT                        where targets go, with <target>_seed_corpus.zip, <target>.dict, <target>.options
#   SRC                        the folder above the sources; WORK: for what is built on the way
#
# The machine that runs the targets has no libraries but the C library's: theirs go to $OUT/lib.
set -euo pipefail
trap 'echo "oss-fuzz.sh: what line $LINENO calls failed" >&2' ERR
cd "$(dirname "$0")/../.."

for name in CC CXX OUT LIB_FUZZING_ENGINE; do
	if [ -z "${!name-}" ]; then
		echo "oss-fuzz.sh: $name is not set; see the head of this file" >&2
		exit 2
	fi
done
build=${WORK:-${TMPDIR:-/tmp}}/portmeter-oss-fuzz
mkdir -p "$OUT/lib"

rm -rf "$build"
# shellcheck disable=SC2016 # $ORIGIN is the loader's
LDFLAGS="${LDFLAGS-} -Wl,-rpath,"'$ORIGIN/lib' meson setup "$build" --buildtype=plain -Db_ndebug=false -Db_lundef=false -Dtests=disabled \
	-Dfuzzing=engine "-Dfuzzing_engine=$LIB_FUZZING_ENGINE"
# Those of optional parts that are not here do not build.
sources=()
for file in tests/fuzz/fuzz_*.c; do
	if grep -q "^build ${file%.c}:" "$build/build.ninja"; then
		sources+=("$file")
	else
		echo "oss-fuzz.sh: without $(basename "$file" .c): a library that it needs is missing"
	fi
done
ninja -C "$build" "${sources[@]%.c}"

# Libraries that a program loads, but for those of the C library and the compiler.
libraries_of() {
	ldd "$1" | awk '$3 ~ /^\// { print $3 }' |
		grep -vE '/(ld-linux|libc|libm|libdl|librt|libpthread|libresolv|libgcc_s)[-.]' || :
}

# libarchive is loaded when a file is packed, by name; fuzz_web is linked to libmicrohttpd. What is read from a pipe is
# read to its end: who writes to one that was left dies of SIGPIPE, now and then, and the script with it.
archive=$(sed -n 's/.*-DPM_ARCHIVE_LIBRARY=\\\{0,1\}"\{0,1\}\([^" \\]*\).*/\1/p' "$build/build.ninja" | sort -u)
if [ -n "$archive" ]; then
	path=$(ldconfig -p | awk -v name="$archive" '$1 == name && !found++ { print $NF }')
	[ -z "$path" ] || { echo "$path"; libraries_of "$path"; } | while read -r library; do cp -L "$library" "$OUT/lib"; done
fi

for file in "${sources[@]}"; do
	target=$(basename "$file" .c)
	name=${target#fuzz_}
	corpus=$name
	[ "$name" != differ ] || corpus=capture # it reads the same
	cp "$build/tests/fuzz/$target" "$OUT"
	libraries_of "$build/tests/fuzz/$target" | while read -r library; do cp -L "$library" "$OUT/lib"; done
	rm -f "$OUT/${target}_seed_corpus.zip"
	(cd "tests/fuzz/corpus/fuzz_$corpus" && python3 -m zipfile -c "$OUT/${target}_seed_corpus.zip" ./*)
	if [ -e "tests/fuzz/$corpus.dict" ]; then
		cp "tests/fuzz/$corpus.dict" "$OUT/$target.dict"
	fi
	if [ -e "tests/fuzz/$name.options" ]; then
		cp "tests/fuzz/$name.options" "$OUT/$target.options"
	fi
done
