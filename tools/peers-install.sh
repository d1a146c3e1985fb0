#!/bin/sh
# Installs what the end-to-end tests talk to: a real MX (Postfix), real DNS (nsd), real clients (swaks, curl, nodemailer);
# and judges (handlebars).
# As root on Debian through apt; no daemon is started, the tests start their own on high loopback ports.
# Not root, or no apt: says what is missing and succeeds; the tests then skip with the reason (CI=true: they fail).
set -eu
stamp=${1:?usage: peers-install.sh STAMP}

missing() {
  command -v postfix >/dev/null || [ -x /usr/sbin/postfix ] || echo postfix
  command -v nsd >/dev/null || [ -x /usr/sbin/nsd ] || echo nsd
  command -v opendkim >/dev/null || [ -x /usr/sbin/opendkim ] || echo opendkim
  command -v opendkim-testmsg >/dev/null || echo opendkim-tools
  command -v swaks >/dev/null || echo swaks
  perl -MNet::SSLeay -e 1 2>/dev/null || echo libnet-ssleay-perl
  command -v curl >/dev/null || echo curl
  command -v node >/dev/null || echo nodejs
  [ -d /usr/share/nodejs/nodemailer ] || [ -d build/node/node_modules/nodemailer ] || echo node-nodemailer
  [ -d /usr/share/nodejs/handlebars ] || [ -d build/node/node_modules/handlebars ] || echo handlebars
}

packages=$(missing | tr '\n' ' ')
if [ -z "${packages% }" ]; then : >"$stamp"; exit 0; fi
if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
  echo "not installed (needs root and apt): $packages- tests that need them are skipped" >&2
  exit 0
fi

# No package may start a daemon: 101 is "forbidden by policy".
policy=/usr/sbin/policy-rc.d
if [ ! -e $policy ]; then
  printf '#!/bin/sh\nexit 101\n' >$policy
  chmod 755 $policy
  trap 'rm -f '$policy EXIT
fi
export DEBIAN_FRONTEND=noninteractive
case $packages in *postfix*)
  # debconf-set-selections may be missing on a minimal system; noninteractive then takes the same answer below.
  echo "postfix postfix/main_mailer_type select No configuration" | debconf-set-selections || true ;;
esac
apt-get update -qq
# shellcheck disable=SC2086  # a list of words on purpose
apt-get install -y -qq --no-install-recommends $packages ca-certificates >/dev/null
[ -z "$(missing)" ] && : >"$stamp"
