#!/bin/sh
# Prints the path of an nginx: the machine's own, or else the one of the Debian package, which is unpacked into a folder below the given one. It is
# not installed, so that no service is started and nothing of the machine changes. What it cannot do it says in one line.
set -eu
command -v nginx && exit
dir=$1/nginx
nginx=$dir/usr/sbin/nginx

fetch() {
	command -v apt-get >/dev/null && command -v dpkg-deb >/dev/null || { echo 'there is no nginx, and no apt-get to fetch it with' >&2; exit 1; }
	cd "$dir"
	if ! apt-get download -q nginx >/dev/null 2>&1; then
		[ "$(id -u)" = 0 ] || { echo 'nginx is not in the package lists, and only root may refresh those' >&2; exit 1; }
		{ apt-get update -q && apt-get download -q nginx; } >/dev/null 2>&1 || { echo 'apt-get cannot fetch the package nginx' >&2; exit 1; }
	fi
	dpkg-deb -x nginx_*.deb .
	rm -f nginx_*.deb
}

if [ ! -x "$nginx" ]; then
	mkdir -p "$dir"
	(fetch)
fi
"$nginx" -v >/dev/null 2>&1 || { echo 'the nginx of the package does not run on this machine' >&2; exit 1; }
echo "$nginx"
