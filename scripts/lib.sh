# shellcheck shell=bash
# lib.sh: what the scripts share. It owns how tools are found and installed, and how a build folder is kept up to date.
#
# Promises: it never changes the caller's working directory and never reads standard input; all it says goes to
# standard error, so that standard output belongs to whatever is run.

root=$(cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/.." && pwd)

say() { printf 'saros: %s\n' "$*" >&2; }
die() { say "$@"; exit 1; }

# usage SCRIPT: the comment at the script's top is its help.
usage() { sed -n '2,/^[^#]/{/^#/{s/^# \{0,1\}//;p;};}' "$1"; }

((BASH_VERSINFO[0] * 100 + BASH_VERSINFO[1] >= 404)) || die "bash 4.4 or later is needed; this is $BASH_VERSION"

cores() { nproc 2>/dev/null || getconf _NPROCESSORS_ONLN 2>/dev/null || echo 2; }

# ---- tools ----------------------------------------------------------------------------------------------------------

# What is needed: for what, how to see that it is there, Debian's package, and what it is elsewhere.
needs='
build    | command cc                  | gcc             | a C11 compiler, as cc
build    | headers                     | libc6-dev       | the headers of the C library
build    | command cmake               | cmake           | CMake 3.21 or later
build    | command ninja make          | ninja-build     | Ninja (or make)
build    | command pkg-config          | pkg-config      | pkg-config
build    | library libuv               | libuv1-dev      | libuv, for the driver on it
build    | lualib                      | liblua5.4-dev   | Lua 5.4: headers and library
build    | liburing                    | liburing-dev    | liburing 2.3 or later, on Linux: for the driver uring
build    | apt header openssl/ssl.h    | libssl-dev      | the headers of OpenSSL, for TLS
test     | library cmocka              | libcmocka-dev   | cmocka
test     | lua string                  | lua5.4          | a stock Lua 5.4, as lua5.4
test     | lua busted.runner           | lua-busted      | busted for Lua 5.4
test     | apt lua ssl                 | lua-sec         | LuaSec, whose ssl.https runs on saros.ssl
test     | apt command openssl         | openssl         | the program openssl, which makes certificates and is a peer
test     | apt command curl            | curl            | curl, a peer
test     | apt command python3         | python3         | Python 3, whose asyncio plays the oracle
test     | apt library libcurl         | libcurl4-openssl-dev | libcurl, for a test of a C library on the loop
test     | apt command strace          | strace          | strace, which takes system calls away
test     | apt command curl            | curl            | curl, a client for tests
test     | apt command socat           | socat           | socat, a client and server for tests
test     | unpacked nginx              | nginx           | nginx, a server for tests
test     | apt command redis-server redis-check-rdb | redis-tools | the server of redis, under its other name
test     | apt lua socket.core         | lua-socket      | LuaSocket, whose programs run here
test     | apt file /usr/share/lua/5.1/redis.lua | lua-redis | redis.lua
check    | command clang               | clang           | clang
check    | command clang-format        | clang-format    | clang-format
check    | command clang-tidy          | clang-tidy      | clang-tidy
check    | command cppcheck            | cppcheck        | cppcheck
check    | command luacheck            | lua-check       | luacheck
check    | command shellcheck          | shellcheck      | shellcheck
macos    | command npm                 | npm             | npm, to fetch a cross compiler
macos    | command llvm-objdump        | llvm            | llvm-objdump and llvm-nm
macos    | command file                | file            | file
windows  | command x86_64-w64-mingw32-gcc | gcc-mingw-w64-x86-64-win32 | mingw-w64, a C compiler for Windows
windows  | command wine                | wine            | Wine
windows  | command /usr/lib/wine/wine64 wine64 | wine64  | Wine for 64-bit programs
coverage | command gcovr               | gcovr           | gcovr
'

# is_there KIND NAME…: is one of the names there?
is_there() {
    local kind=$1 name
    shift
    case $kind in
    headers) echo '#include <stdlib.h>' | cc -E -x c - >/dev/null 2>&1 && return ;;
    liburing) # a build without it only lacks a driver: it is wanted where apt can bring it
        [[ $(uname -s) == Linux ]] && command -v apt-get >/dev/null || return 0
        is_there library 'liburing >= 2.3' && return
        ;;
    apt) # wanted where apt can bring it: a test without it is pending
        command -v apt-get >/dev/null || return 0
        is_there "$@" && return
        ;;
    header) echo "#include <$1>" | cc -E -x c - >/dev/null 2>&1 && return ;;
    lualib) is_there library lua5.4 lua-5.4 lua54 'lua >= 5.4' && return ;;
    lua)
        for name in lua5.4 lua-5.4 lua54 lua; do
            "$name" -e "assert(_VERSION == 'Lua 5.4'); require('$1')" </dev/null >/dev/null 2>&1 && return
        done
        ;;
    file) [[ -f $1 ]] && return ;;
    unpacked) # likewise; its package would start a service, and is not installed
        command -v apt-get >/dev/null && command -v dpkg-deb >/dev/null || return 0
        command -v "$1" >/dev/null && return
        [[ -x $root/build/servers/usr/sbin/$1 ]] && return
        ;;
    command) for name; do command -v "$name" >/dev/null && return; done ;;
    library) for name; do pkg-config --exists "$name" 2>/dev/null && return; done ;;
    esac
    return 1
}

# need PURPOSE…: installs by apt what is missing for the purposes, or says what to install.
need() {
    local purpose probe package what missing=() list=() packed=()
    while IFS='|' read -r purpose probe package what; do
        purpose=${purpose// /} package=${package// /}
        [[ -n $purpose && " $* " == *" $purpose "* ]] || continue
        # shellcheck disable=SC2086 # the probe is a list of words
        is_there $probe && continue
        if [[ $probe == *unpacked* ]]; then
            packed+=("$package")
            continue
        fi
        missing+=("$package") list+=("  ${what# } (Debian: $package)")
    done <<<"$needs"
    ((${#packed[@]} == 0)) || unpack "${packed[@]}"
    ((${#missing[@]})) || return 0

    local as=()
    if ((EUID != 0)); then
        # Asking for a password is for people; a machine gets the list.
        if command -v sudo >/dev/null && { [[ -t 2 ]] || sudo -n true 2>/dev/null; }; then
            as=(sudo)
        else
            as=(none)
        fi
    fi
    if ! command -v apt-get >/dev/null || [[ ${as[*]} == none ]]; then
        say "these are needed and were not found:"
        printf '%s\n' "${list[@]}" >&2
        ! command -v apt-get >/dev/null || say "as root: apt-get install ${missing[*]}"
        exit 1
    fi
    say "installing with apt: ${missing[*]}"
    local apt=("${as[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=300)
    "${apt[@]}" update -qq </dev/null >&2 || say "apt could not renew its lists; trying with the old ones"
    "${apt[@]}" install -qq --no-install-recommends "${missing[@]}" </dev/null >&2 ||
        die "apt could not install: ${missing[*]}"
}

# unpack PACKAGE…: the programs of packages that nobody installs, in build/servers. A test that misses one is pending.
unpack() {
    local folder=$root/build/servers
    say "fetching with apt: $* (into build/servers)"
    mkdir -p "$folder/packages"
    (cd "$folder/packages" && apt-get download -qq -o APT::Sandbox::User="$(id -un)" "$@" </dev/null >&2) ||
        say "apt could not fetch: $*"
    local package
    for package in "$folder"/packages/*.deb; do
        [[ ! -f $package ]] || dpkg-deb -x "$package" "$folder"
    done
    rm -rf "$folder/packages"
}

# ---- sources of others ----------------------------------------------------------------------------------------------

# debian_source PACKAGE: prints the folder with a package's upstream source, as its authors published it and without
# the distribution's patches; fetched by apt the first time, and kept in build/sources/PACKAGE. The machine's own apt
# is left as it is: its entries are copied as source entries into a set-up of our own, which also needs no root.
debian_source() (
    package=$1 folder=$root/build/sources
    if [[ ! -d $folder/$package ]]; then
        command -v apt-get >/dev/null || die "the source of $package is fetched with apt-get, which is not here"
        mkdir -p "$folder"
        work=$(mktemp -d "$folder/.$package.XXXXXX")
        trap 'rm -rf "$work"' EXIT
        mkdir -p "$work"/{parts,lists/partial,cache/archives/partial,tree}
        for entry in /etc/apt/sources.list /etc/apt/sources.list.d/*.list /etc/apt/sources.list.d/*.sources; do
            [[ -f $entry ]] || continue
            sed -e 's/^Types:.*/Types: deb-src/' -e '/^deb-src/d' -e 's/^deb\([[:space:]]\)/deb-src\1/' "$entry" \
                >"$work/parts/${entry##*/}"
        done
        apt=(apt-get -qq -o "Dir::Etc::SourceList=/dev/null" -o "Dir::Etc::SourceParts=$work/parts"
            -o "Dir::State::Lists=$work/lists" -o "Dir::Cache=$work/cache" -o APT::Sandbox::User="$(id -un)")
        say "fetching the source of $package"
        cd "$work" || exit
        "${apt[@]}" update </dev/null >&2 || say "apt could not renew all lists of sources"
        "${apt[@]}" source --download-only "$package" </dev/null >&2 || die "apt has no source of $package"
        rm -f ./*.asc # signatures, which some packages bring
        tar -x -f "$(echo ./*.orig.tar.*z*)" -C tree --strip-components=1 --no-same-owner || die "the source of $package is not as expected"
        mv -T tree "$folder/$package" 2>/dev/null || [[ -d $folder/$package ]] || die "build/sources cannot be written"
    fi
    echo "$folder/$package"
)

# lua_source: prints the folder with the C sources of Lua 5.4, for SAROS_LUA_SOURCE.
lua_source() {
    local folder
    folder=$(debian_source lua5.4) || return
    [[ -f $folder/src/lapi.c ]] || die "build/sources/lua5.4 holds no sources of Lua; remove it and try again"
    echo "$folder/src"
}

# ---- build folders --------------------------------------------------------------------------------------------------

# Two scripts at once build one after the other. The lock ends with the shell or with unlock.
lock() {
    mkdir -p "$root/build"
    exec 9>"$root/build/.lock"
    ! command -v flock >/dev/null || flock -n 9 || { say "waiting for another build"; flock 9; }
}
unlock() { exec 9>&-; }

# configure FOLDER ARGUMENT…: runs CMake where the folder is new, was moved, or was not set up with all of these.
configure() {
    local folder=$1 stamp=$1/.configured home='' before='' argument changed=0
    shift
    if [[ -f $folder/CMakeCache.txt ]]; then
        home=$(sed -n 's/^CMAKE_HOME_DIRECTORY:INTERNAL=//p' "$folder/CMakeCache.txt")
        [[ $home -ef $root ]] || rm -rf "$folder" # CMake refuses a folder that came from elsewhere
    fi
    [[ ! -f $stamp ]] || before=" $(<"$stamp") "
    for argument; do
        [[ $before == *" $argument "* ]] || changed=1
    done
    ((changed)) || [[ $root/CMakePresets.json -nt $stamp ]] || return 0
    say "configuring ${folder#"$root/"}"
    local generator=()
    [[ -f $folder/CMakeCache.txt ]] || ! command -v ninja >/dev/null || generator=(-G Ninja)
    # Presets are looked for in the working directory: hence the subshell.
    (cd "$root" && cmake "$@" -B "$folder" "${generator[@]}" --log-level=NOTICE) </dev/null >&2 || return
    echo "$*" >"$stamp"
}

# build FOLDER TARGET…: builds what changed, and shows it; says nothing where nothing changed.
build() {
    local folder=$1 target targets=()
    shift
    for target; do targets+=(--target "$target"); done
    cmake --build "$folder" --parallel "$(cores)" "${targets[@]}" </dev/null 2>&1 |
        { grep --line-buffered -v -e '^ninja: no work to do' -e 'Re-checking globbed directories' || true; } >&2
    return "${PIPESTATUS[0]}"
}

# preset NAME [-DVARIABLE=VALUE…] [TARGET…]: configures and builds the folder of a preset.
preset() {
    local name=$1 defines=() targets=() argument
    shift
    for argument; do
        case $argument in
        -D*) defines+=("$argument") ;;
        *) targets+=("$argument") ;;
        esac
    done
    lock
    configure "$root/build/$name" --preset "$name" "${defines[@]}" || die "build/$name could not be configured"
    build "$root/build/$name" "${targets[@]}" || die "build/$name could not be built"
    unlock
}
