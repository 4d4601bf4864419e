# arrows.awk: the part of scripts/arrows that reads the sources; that script's comment says what is looked at.
#
# usage: awk -f arrows.awk FILE…
# Prints "file:line: what is wrong" for each place, and nothing where all is well.
BEGIN { unfinished = "(TO" "DO|FIX" "ME|XX" "X)" } # apart, so that this file does not find itself
function bad(text) { print FILENAME ":" FNR ": " text }
function end_of_file() {
    if (lines > 500 && !reason) print file ": " lines " lines; over 500 needs a reason at its top"
}
FNR == 1 {
    end_of_file()
    file = FILENAME; reason = 0
    code = file ~ /\.[ch]$/
    core = file ~ /^core\//; backend = file ~ /^backends\//; binding = file ~ /^bindings\/lua\//
    os_allowed = backend || file ~ /^core\/(handle\.h|error\.c|addr\.c)$/ || file ~ /^tests\//
    if ($0 !~ /^(\/\*|\/\/|--|#)/) bad("does not open with a comment that says what it is")
}
{ lines = FNR }
FNR <= 40 && /over 500 lines: *[^ ]/ { reason = 1 }
/\t/ { bad("a tab") }
/ +$/ { bad("blanks at the end of the line") }
$0 ~ "(^|[^A-Za-z_])" unfinished "([^A-Za-z_]|$)" { bad("a note of unfinished work") }
!code { next }

/^ *# *(if|ifdef|ifndef|elif)[ (!]/ && !os_allowed &&
/(_WIN32|_WIN64|__MINGW|__CYGWIN__|__linux|__APPLE__|__MACH__|__unix|_BSD__|BSD_|__FreeBSD__|__NetBSD__|__OpenBSD__|__sun|__ANDROID__)/ {
    bad("an #if for an operating system does not belong here")
}
/^ *# *include/ {
    split($0, parts, /["<>]/)
    header = parts[2]
    system_header = $0 ~ /</
    allowed = 1
    if (core && header ~ /^(lua|lauxlib|lualib|uv)\.h(pp)?$/) allowed = 0
    if (core && !system_header && header !~ /^core\//) allowed = 0
    if (backend && !system_header && header !~ /^(core\/driver\.h|backends\/[a-z_]+\.h)$/) allowed = 0
    if (backend && header ~ /^(lua|lauxlib|lualib)\.h/) allowed = 0
    if (header == "uv.h" && file !~ /^(backends\/uv|bindings\/lua\/[a-z]+\/service_|examples\/embed\/inside_uv|tests\/bench\/(children|file))/) allowed = 0
    if (binding && !system_header && header !~ /^(core\/saros\.h|bindings\/lua\/([a-z]+\/)?[a-z_]+\.h|saros_embedded\.h)$/)
        allowed = binding && file ~ /\/sim\.c$/ && header == "backends/sim.h"
    if (file ~ /^examples\// && !system_header &&
        header !~ /^(core\/(saros|driver)\.h|bindings\/lua\/saros_lua\.h)$/) allowed = 0
    if (!allowed) bad("must not include " header)
    if (system_header && !os_allowed && file !~ /^(examples|bindings\/lua\/(host\/(host(_slabs|_signal_(posix|windows))?\.c|child)|[a-z]+\/(service_|os_thread_)))/ &&
        header ~ /^(unistd|fcntl|poll|pthread|semaphore|netdb|dlfcn|windows|winsock2|ws2tcpip|(sys|netinet|arpa|net|linux)\/.*)(\.h)?$/)
        bad("the header " header " is of one operating system")
}
END { end_of_file() }
