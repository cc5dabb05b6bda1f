#!/bin/sh
# Install through apt what is missing to run Warren's demo, tests and benchmarks, and nothing else.
#
#   scripts/deps.sh broker    what the demo and the benchmarks need: a RabbitMQ server
#   scripts/deps.sh store     that, and what they need for a store of several servers: PostgreSQL
#   scripts/deps.sh           that, and what the tests need: Redis and PgBouncer; a C compiler for the race
#                             detector; AMQP libraries of Python, Ruby, PHP, Perl, C and Erlang, and
#                             Node.js with npm, for the interoperability tests; iproute2, e2fsprogs and
#                             mount for partitions and broken disks
#
# apt-get runs only if something is missing. Of servers, the programs are installed; their services are
# neither started nor enabled, and PostgreSQL's package makes no cluster: the demo and the tests run
# servers of their own on free ports.
# Everything goes to standard error, so that standard output stays the caller's.
set -eu
exec >&2

# An ordinary user's PATH may lack the folder that holds Debian's rabbitmq-server and pgbouncer.
PATH=$PATH:/usr/sbin:/sbin

have() { command -v "$1" >/dev/null 2>&1; }

quietly() { "$@" >/dev/null 2>&1; }

die() {
    echo "deps: $*"
    exit 1
}

have_roots() {
    for file in "${SSL_CERT_FILE:-}" /etc/ssl/certs/ca-certificates.crt /etc/pki/tls/certs/ca-bundle.crt \
        /etc/ssl/cert.pem; do
        [ -s "$file" ] && return 0
    done
    return 1
}

# A compiler without the C library's headers is as good as none.
have_compiler() { echo '#include <stdlib.h>' | ${CC:-gcc} -x c -fsyntax-only - 2>/dev/null; }

# Debian's pika belongs to Debian's Python; another python3 may come first in PATH.
have_pika() {
    for python in python3 /usr/bin/python3; do
        "$python" -c 'import pika' 2>/dev/null && return 0
    done
    return 1
}

# Likewise: Debian's libraries belong to Debian's Ruby, PHP and Perl.
have_bunny() { quietly ruby -e 'require "bunny"' || quietly /usr/bin/ruby -e 'require "bunny"'; }

have_php_amqplib() {
    for php in php /usr/bin/php; do
        quietly "$php" -r 'require "PhpAmqpLib/autoload.php"; exit(class_exists("PhpAmqpLib\\Wire\\AMQPWriter") ? 0 : 1);' &&
            return 0
    done
    return 1
}

have_anyevent_rabbitmq() { quietly perl -MAnyEvent::RabbitMQ -e 1 || quietly /usr/bin/perl -MAnyEvent::RabbitMQ -e 1; }

have_librabbitmq() { echo '#include <amqp_tcp_socket.h>' | quietly ${CC:-gcc} -x c -fsyntax-only -; }

# Debian keeps the server's programs out of PATH; test/postgres looks in the same folders.
have_postgresql() {
    for program in /usr/lib/postgresql/*/bin/initdb /usr/pgsql-*/bin/initdb /usr/local/pgsql/bin/initdb \
        /usr/local/bin/initdb /usr/bin/initdb; do
        [ -x "$program" ] && return 0
    done
    return 1
}

missing() {
    have rabbitmq-server || echo rabbitmq-server
    have_roots || echo ca-certificates
    [ "$1" = broker ] && return
    have_postgresql || echo postgresql
    [ "$1" = store ] && return
    have redis-server || have valkey-server || echo redis-server
    have pgbouncer || echo pgbouncer
    have_compiler || echo gcc libc6-dev
    have_pika || echo python3-pika
    have node || echo nodejs
    have npm || echo npm
    have hey || echo hey
    have_bunny || echo ruby-bunny
    have_php_amqplib || echo php-cli php-amqplib
    have_anyevent_rabbitmq || echo libanyevent-rabbitmq-perl
    have_librabbitmq || echo librabbitmq-dev
    have amqp-publish || echo amqp-tools
    # amqp_client comes with the broker.
    have erlc || echo erlang-base
    [ "$(uname)" = Linux ] || return 0
    have ip || echo iproute2
    have mkfs.ext4 || echo e2fsprogs
    have mount || echo mount
}

apt_install() {
    apt-get -q -y -o Acquire::Retries=3 -o DPkg::Lock::Timeout=300 -o Dpkg::Use-Pty=0 \
        install --no-install-recommends "$@" 9<&-
}

# Runs as root. A policy-rc.d that answers 101 keeps package scripts from starting services, and a file of
# postgresql-common's settings keeps PostgreSQL's from making a cluster. The lock is on the policy's folder:
# of two installations, the second waits, and neither takes away what the other has written.
install_packages() {
    policy=${WARREN_POLICY_RC_D:-/usr/sbin/policy-rc.d}
    clusters=${WARREN_CREATECLUSTER_D:-/etc/postgresql-common/createcluster.d}
    mark='# Written by scripts/deps.sh for the length of one installation.'

    exec 9<"$(dirname "$policy")"
    flock 9
    trap clean_up EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM
    # Ours is left over from an installation that was killed; anyone else's stays.
    if [ ! -e "$policy" ] || grep -qsxF "$mark" "$policy"; then
        printf '#!/bin/sh\n%s\nexit 101\n' "$mark" >"$policy"
        chmod 755 "$policy"
    fi
    case " $* " in
    *" postgresql "*)
        mkdir -p "$clusters"
        printf '%s\ncreate_main_cluster = off\n' "$mark" >"$clusters/warren.conf"
        ;;
    esac

    export DEBIAN_FRONTEND=noninteractive
    # A third party's unreachable archive does not matter if Debian's can be read.
    # What it starts must not keep the lock.
    apt-get -q -o Acquire::Retries=3 update 9<&- || echo "deps: apt-get update failed in part; going on"
    # One package that the archive lacks does not keep the others out.
    apt_install "$@" || for package; do apt_install "$package" || echo "deps: $package cannot be installed"; done

    # The policy has kept the services from starting now; this keeps them from starting with the machine.
    for package; do
        case "$package" in
        rabbitmq-server | postgresql | redis-server | pgbouncer) ! have update-rc.d || update-rc.d "$package" disable ;;
        esac
    done
}

clean_up() {
    ! grep -qsxF "$mark" "$policy" || rm -f "$policy"
    rm -f "$clusters/warren.conf"
}

case "${1:-all}" in
--install)
    shift
    install_packages "$@"
    exit
    ;;
broker | store | all) ;;
*) die "usage: scripts/deps.sh [broker|store|all]" ;;
esac

have go || die "Go is not in PATH; see https://go.dev/doc/install"

packages=$(missing "${1:-all}" | tr '\n' ' ')
[ -n "$packages" ] || exit 0

have apt-get || die "please install what provides (Debian's names): $packages"
if [ "$(id -u)" -eq 0 ]; then
    root=
elif have sudo; then
    root=sudo
else
    die "please run as root: sh $0 --install $packages"
fi
echo "deps: installing $packages"
# shellcheck disable=SC2086 # package names, separated by blanks
$root sh "$0" --install $packages

packages=$(missing "${1:-all}" | tr '\n' ' ')
[ -z "$packages" ] || die "still missing after the installation: $packages"
