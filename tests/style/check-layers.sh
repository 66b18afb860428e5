#!/bin/sh
# SPDX-License-Identifier: MIT
# check-layers.sh ROOT: every room sees only what stands before it (docs/architecture.md).
#
# A folder of src/ includes its own headers and the public headers of the rooms above it; some
# system headers belong to one room; nothing below the program prints or exits.

# The order of dependence. capture stands apart: it sees base, and only meter and app see it.
rooms='base packet service tally summary output meter web app'
apart=capture
apart_sees='base'
seen_by='meter app'

# System headers that belong to one room: pattern, room.
owned='
pcap.h          capture
pcap/*          capture
pcap-*          capture
archive.h       capture
archive_entry.h capture
microhttpd.h    web
dlfcn.h         base
jansson.h       output
jansson_config.h output
zlib.h          output
zstd.h          output
getopt.h        app
err.h           app
error.h         app
syslog.h        app
curses.h        app
ncurses.h       app
term.h          app
'

# Calls and streams that only the program may use. Sinks write to standard output,
# and the embedder of the rule files is a tool of the build.
calls='exit|_exit|_Exit|quick_exit|abort|printf|vprintf|fprintf|vfprintf|dprintf|vdprintf|puts|fputs|putchar|fputc|putc|perror|psignal'
streams='stdout|stderr'
output_calls='exit|_exit|_Exit|quick_exit|abort|printf|vprintf|puts|putchar|perror|psignal'
output_streams='stderr'
free='src/service/embed.c'

set -f # the patterns above are not for the shell to expand
cd "${1:?usage: check-layers.sh ROOT}" || exit 2
if [ ! -d src ] || [ ! -d include/portmeter ]; then
	echo "check-layers.sh: $1 is not the source root"
	exit 2
fi

rank() {
	n=0
	for room in $rooms; do
		if [ "$room" = "$1" ]; then
			echo $n
			return
		fi
		n=$((n + 1))
	done
	echo -1
}

listed() { # word words...
	word=$1
	shift
	case " $* " in *" $word "*) return 0 ;; esac
	return 1
}

may_see() { # room, room whose public header it is
	[ "$1" != "$2" ] || return 0
	# shellcheck disable=SC2086 # lists are lists of words
	if [ "$1" = $apart ]; then
		listed "$2" $apart_sees
		return
	elif [ "$2" = $apart ]; then
		listed "$1" $seen_by
		return
	fi
	from=$(rank "$1") to=$(rank "$2")
	[ "$to" -ge 0 ] && [ "$to" -lt "$from" ]
}

bad=0
complain() {
	echo "$*"
	bad=1
}

# "file room <header>" or "file room "header"", one line for each include.
includes=$(find src include/portmeter -name '*.[ch]' -exec \
	awk '/^[ \t]*#[ \t]*include[ \t]*[<"]/ {
		sub(/^[ \t]*#[ \t]*include[ \t]*/, ""); sub(/[ \t]*(\/\*.*)?$/, "")
		n = split(FILENAME, part, "/")
		room = part[n - 1]
		if (room == "portmeter") { room = part[n]; sub(/\.h$/, "", room) }
		print FILENAME, room, $0
	}' {} +)

files=0
while read -r file room header; do
	[ -n "$file" ] || continue
	files=$((files + 1))
	name=${header#[<\"]}
	name=${name%[>\"]}
	if [ "$(rank "$room")" -lt 0 ] && [ "$room" != $apart ]; then
		complain "$file: $room is not a room; add it to the order in check-layers.sh"
		continue
	fi
	case $name in
	portmeter/*)
		other=${name#portmeter/}
		may_see "$room" "${other%.h}" || complain "$file: $room may not include $name"
		case $header in '<'*) complain "$file: write #include \"$name\"" ;; esac
		continue
		;;
	esac
	case $header in
	'"'*)
		case $file:$name in
		include/*) complain "$file: a public header includes the private $name" ;;
		*:*/*) complain "$file: private header of another folder: $name" ;;
		*)
			# A header that the build makes is in no folder of src/.
			place=$(find src -name "$name" | head -n 1)
			[ -z "$place" ] || [ -e "src/$room/$name" ] ||
				complain "$file: $name is private to ${place%/*}"
			;;
		esac
		;;
	esac
	while read -r pattern owner; do
		# shellcheck disable=SC2254 # a pattern is meant
		case $name in
		'') ;;
		$pattern)
			[ -z "$pattern" ] || [ "$room" = "$owner" ] ||
				complain "$file: only src/$owner may include $name"
			;;
		esac
	done <<END
$owned
END
done <<END
$includes
END
[ $files -gt 0 ] || complain "no includes found: is this the source root?"

# Comments and strings say nothing about what the code does: blank them first.
found=$(find src include/portmeter -name '*.[ch]' ! -path 'src/app/*' ! -path "$free" -exec \
	awk -v calls="$calls" -v streams="$streams" \
	-v ocalls="$output_calls" -v ostreams="$output_streams" '
	function report(pattern, what,  at) {
		if (match(code, "(^|[^A-Za-z0-9_])(" pattern ")")) {
			at = substr(code, RSTART, RLENGTH)
			gsub(/[^A-Za-z0-9_]/, "", at)
			print FILENAME ":" FNR ": " what " " at " below src/app"
		}
	}
	FNR == 1 { comment = 0 }
	{
		rest = $0
		code = ""
		while (rest != "") {
			if (comment) {
				if (!(at = index(rest, "*/")))
					break
				rest = substr(rest, at + 2)
				comment = 0
			}
			if (!match(rest, /\/\*|\/\/|"([^"\\]|\\.)*"|'\''([^'\''\\]|\\.)*'\''/)) {
				code = code rest
				break
			}
			code = code substr(rest, 1, RSTART - 1) " "
			token = substr(rest, RSTART, 2)
			rest = substr(rest, RSTART + RLENGTH)
			if (token == "//")
				break
			comment = token == "/*"
		}
		own = FILENAME ~ /^src\/output\//
		report("(" (own ? ocalls : calls) ")[ \t]*\\(", "call of")
		report("(" (own ? ostreams : streams) ")([^A-Za-z0-9_]|$)", "use of")
	}' {} +)
[ -z "$found" ] || complain "$found"

exit $bad
