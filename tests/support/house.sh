#!/usr/bin/env bash
# house.sh: do the scripts keep what their --help promises? For the release build, which it may bring up to date.
#
# It owns a folder in /tmp for the scripts that it lets run. Ends with "N passed, N failed".
set -uo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
passed=0 failed=0

# same WHAT EXPECTED FOUND
same() {
    if [[ $2 == "$3" ]]; then
        ((passed += 1))
    else
        ((failed += 1))
        printf 'FAILED %s\n  expected: %q\n  found:    %q\n' "$1" "$2" "$3"
    fi
}

cd "$work" || exit 1
echo 'print(...)' >say.lua
echo 'os.exit(7)' >seven.lua
echo 'error("broken")' >broken.lua
echo 'io.write(io.read("a"))' >echo.lua
mkdir -p "deep er"
ln -s "$root/scripts/run" shortcut

"$root/scripts/run" say.lua >/dev/null 2>&1 # whatever is to be built is built now
same "run passes on every argument" $'one\ttwo words\t--help\t' "$("$root/scripts/run" say.lua one 'two words' --help '' 2>&1)"
same "run keeps the working directory" "x" "$(cd "deep er" && "$root/scripts/run" ../say.lua x 2>&1)"
same "run works through a link" "x" "$(./shortcut say.lua x 2>&1)"
same "run leaves standard input to the script" "heard" "$(printf heard | "$root/scripts/run" echo.lua 2>&1)"
"$root/scripts/run" seven.lua >/dev/null 2>&1
same "run ends with the script's exit code" 7 $?
"$root/scripts/run" broken.lua >/dev/null 2>&1
same "run fails where the script fails" 1 $?
"$root/scripts/run" no-such-file.lua >/dev/null 2>&1
same "run fails where there is no script" 1 $?

# What changed is built again, and what did not is left alone.
host=$root/build/release/saros
before=$(stat -c %Y.%i "$host")
touch "$root/bindings/lua/host/host.c"
same "run says on standard output only what the script says" "x" "$("$root/scripts/run" say.lua x 2>/dev/null)"
same "run builds what changed" changed "$([[ $(stat -c %Y.%i "$host") != "$before" ]] && echo changed)"
before=$(stat -c %Y.%i "$host")
same "run is silent where nothing changed" "" "$("$root/scripts/run" say.lua x 2>&1 >/dev/null)"
same "run builds nothing where nothing changed" "$before" "$(stat -c %Y.%i "$host")"

for script in "$root"/scripts/*; do
    [[ -x $script ]] || continue
    name=$(basename "$script")
    help=$("$script" --help 2>&1 </dev/null)
    same "$name --help ends well" 0 $?
    same "$name --help says how to use it" yes "$([[ $help == *"usage: scripts/$name"* ]] && echo yes)"
done
"$root/scripts/test" --no-such-option >/dev/null 2>&1
same "test refuses an unknown option" 1 $?

echo "$passed passed, $failed failed"
((failed == 0))
