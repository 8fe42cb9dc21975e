#!/bin/sh
# Install the Debian packages that the tests (default) or the benchmark need.
#
#   tests/servers/packages.sh [test|bench|guard]
#
# As root, missing ones are installed without questions, and no service is started or
# enabled by it. As anybody else, what is missing is named and left to you: tests and
# peers without their server are skipped.
set -eu

purpose=${1:-test}
case $purpose in
test)
    wanted="nginx apache2-bin lighttpd haproxy libfcgi-bin"
    wanted="$wanted luajit lua5.1 lua5.2 lua5.3 lua5.4" # to compare with
    wanted="$wanted lua-cjson lua-filesystem lua-lpeg lua-sql-sqlite3"
    ;;
bench) wanted="nginx libnginx-mod-http-lua apache2-bin php-fpm wrk" ;;
guard) wanted="valgrind" ;;
*)
    echo "usage: $0 [test|bench|guard]" >&2
    exit 2
    ;;
esac

# A package counts as present when what it is wanted for is there, whoever installed it.
present() {
    case $1 in
    apache2-bin) command -v apache2 ;;
    libfcgi-bin) command -v cgi-fcgi ;;
    php-fpm) ls /usr/sbin/php-fpm* ;;
    lua-cjson) ls /usr/lib/*/lua/5.4/cjson.so ;;
    lua-filesystem) ls /usr/lib/*/lua/5.4/lfs.so ;;
    lua-lpeg) ls /usr/lib/*/lua/5.4/lpeg.so ;;
    lua-sql-sqlite3) ls /usr/lib/*/lua/5.4/luasql/sqlite3.so ;;
    libnginx-mod-http-lua) ls /usr/lib/nginx/modules/ngx_http_lua_module.so ;;
    *) command -v "$1" ;;
    esac >/dev/null 2>&1
}

PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin
missing=
for package in $wanted; do
    present "$package" || missing="$missing $package"
done
[ -n "$missing" ] || exit 0

if [ "$(id -u)" != 0 ]; then
    echo "not installed, and so not used by this $purpose:$missing" >&2
    echo "install with: sudo apt-get install --no-install-recommends$missing" >&2
    exit 0
fi
if ! command -v apt-get >/dev/null; then
    echo "not installed, and there is no apt-get here:$missing" >&2
    exit 0
fi

# Debian starts and enables what it installs unless policy-rc.d says no.
policy=/usr/sbin/policy-rc.d
if [ ! -e $policy ]; then
    printf '#!/bin/sh\nexit 101\n' >$policy
    chmod 755 $policy
    trap 'rm -f $policy' EXIT INT TERM
fi

export DEBIAN_FRONTEND=noninteractive
install() {
    # shellcheck disable=SC2086  # a list of words
    apt-get install -y -q --no-install-recommends $missing >"$log" 2>&1
}
log=$(mktemp)
install || { apt-get update -q >"$log" 2>&1 && install; } || {
    tail -n 20 "$log" >&2
    echo "could not install:$missing" >&2
    rm -f "$log"
    exit 1
}
rm -f "$log"

# What was installed just now is not to start with the machine either.
for service in $missing; do
    case $service in
    php-fpm) service=$(basename "$(ls -d /etc/init.d/php*fpm 2>/dev/null | tail -n 1)") ;;
    esac
    if [ -n "$service" ] && [ -e "/etc/init.d/$service" ]; then
        update-rc.d "$service" disable >/dev/null 2>&1 || true
        if command -v systemctl >/dev/null; then
            systemctl disable "$service" >/dev/null 2>&1 || true
        fi
    fi
done
echo "installed:$missing"
