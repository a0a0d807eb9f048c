#!/usr/bin/env bash
# Build the images, run the main job through docker-compose, take it down again; whatever happens, nothing is left running.
#   deploy/compose-demo.sh            (make compose-demo)            one node hosts everybody
#   NODES=2 deploy/compose-demo.sh    (make compose-demo NODES=2)    two compose projects: the office with its hub, and kargah
# Further arguments are given to the job. KEEP=1 leaves the network up and says how to take it down.
set -Eeuo pipefail
cd "$(dirname "$0")/.."
PYTHON=${PYTHON:-.venv/bin/python}
NODES=${NODES:-1}
PROJECT=${COMPOSE_PROJECT_NAME:-album-demo}
unset COMPOSE_PROJECT_NAME
WORK=$(mktemp -d "${TMPDIR:-/tmp}/album-demo.XXXXXX")
HUB=hub.album.test
OFFER_TIME=PT8S; if [ "$NODES" = 2 ]; then OFFER_TIME=PT15S; fi # the mails with the offers come from two catchers

say() { printf '%s %s\n' "$(date +%T)" "$*" >&2; }
project_of() { if [ "$1" = office ]; then echo "$PROJECT"; else echo "$PROJECT-$1"; fi; }
compose() { local node=$1; shift; docker compose --project-name "$(project_of "$node")" --env-file "$WORK/$node.env" "$@"; }
album() { local node=$1; shift; compose "$node" run --rm --no-deps -T album "$@"; }
secret() { "$PYTHON" -c 'import secrets; print(secrets.token_hex(24))'; }
free_ports() { # how many -> that many ports nobody listens on
  "$PYTHON" -c 'import sys; from shared.embedded.ports import free_port; print(*[free_port() for _ in range(int(sys.argv[1]))])' "$1"
}

write_env() { # node
  local ports; read -ra ports < <(free_ports 5)
  umask 077
  {
    for name in ALBUM_POSTGRES_PASSWORD ALBUM_DATABASE_PASSWORD ALBUM_REDIS_PASSWORD ALBUM_SECRET; do
      echo "$name=$(secret)"
    done
    echo "ALBUM_MEMBERS_PORT=${ports[0]}"; echo "ALBUM_COURSES_PORT=${ports[1]}"; echo "ALBUM_EVENTS_PORT=${ports[2]}"
    echo "ALBUM_NOTIFICATIONS_PORT=${ports[3]}"; echo "ALBUM_MAIL_PORT=${ports[4]}"
    echo "ALBUM_VERSION=demo"
    echo "ALBUM_OFFER_TIME=$OFFER_TIME"
    if [ -n "${ALBUM_PIP_CERT:-}" ]; then echo "ALBUM_PIP_CERT=$ALBUM_PIP_CERT"; fi
  } > "$WORK/$1.env"
}

# The office's settings; the hub is published on the engine's own network, where other projects reach it and nobody else.
write_office() {
  local port gateway
  port=$(free_ports 1)
  gateway=$(docker network inspect bridge --format '{{(index .IPAM.Config 0).Gateway}}')
  {
    echo "COMPOSE_PROFILES=hub"
    echo "ALBUM_HUB_DIR=/var/lib/album/hub"
    echo "ALBUM_HUB_HOST=$HUB"; echo "ALBUM_HUB_PORT=$port"; echo "ALBUM_HUB_BIND=$gateway"
    echo "ALBUM_HUB=rediss://$HUB:$port"
    echo "ALBUM_HUB_CA=/var/lib/album/hub/server/tls/ca.crt"
    echo "ALBUM_HOSTED=office,vhs-hannover,bildungsverein"
  } >> "$WORK/office.env"
}

# A partner finds the hub by its name, as by DNS.
write_partner() { # node
  local services; services=$(printf '  %s: {extra_hosts: ["%s:host-gateway"]}\n' members "$HUB" album "$HUB")
  printf 'services:\n%s\n' "$services" > "$WORK/$1.yml"
  echo "COMPOSE_FILE=docker-compose.yml:$WORK/$1.yml" >> "$WORK/$1.env"
}

# docs/network.md, "An institution joins": the office invites, the node asks and waits, the office admits.
join() { # slug node
  local code tries=0
  code=$(album office network invite "$1" --json | "$PYTHON" -c 'import json, sys; print(json.load(sys.stdin)["code"])')
  album "$2" network join "$code" > "$WORK/$1.joined" &
  until album office network admit "$1" 2> "$WORK/$1.admit"; do
    tries=$((tries + 1))
    if [ "$tries" -gt 20 ]; then cat "$WORK/$1.admit" >&2; return 1; fi
    sleep 1
  done
  wait $!
  if [ "$2" != office ]; then grep '^ALBUM_' "$WORK/$1.joined" >> "$WORK/$2.env"; fi
}

start_apart() {
  write_office
  write_env kargah; write_partner kargah
  say "the hub, and the databases of both nodes"
  compose office up --detach --wait --wait-timeout 180 hub postgres valkey
  compose kargah up --detach --wait --wait-timeout 180 postgres valkey
  for node in office kargah; do album "$node" migrate > /dev/null; done
  say "four institutions join"
  for slug in office vhs-hannover bildungsverein; do join "$slug" office; done
  join kargah kargah
}

nodes() { if [ "$NODES" = 1 ]; then echo office; else echo office kargah; fi; }

take_down() {
  local code=$? node
  trap - EXIT INT TERM
  for node in $(nodes); do
    [ -s "$WORK/$node.env" ] || continue
    if [ "$code" != 0 ]; then
      say "failed with $code; the last lines of every container of $node:"
      compose "$node" ps -a >&2 || true
      compose "$node" logs --no-color --tail 25 >&2 || true
    fi
    if [ -n "${KEEP:-}" ]; then
      say "left running; to end it: docker compose -p $(project_of "$node") --env-file $WORK/$node.env down -v"
    else
      compose "$node" --profile operator --profile hub down --volumes --remove-orphans --timeout 10 >&2 || true
    fi
  done
  if [ -z "${KEEP:-}" ]; then rm -rf "$WORK"; fi
  exit "$code"
}
trap take_down EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

case $NODES in 1 | 2) ;; *) say "NODES is 1 or 2"; exit 2 ;; esac
docker info >/dev/null 2>&1 || { say "no Docker engine answers"; exit 3; }
docker compose version >/dev/null 2>&1 || { say "docker has no compose plugin (v2)"; exit 3; }
write_env office
say "building"; compose office build --quiet
if [ "$NODES" = 2 ]; then start_apart; fi
which=()
for node in $(nodes); do
  say "starting $node"; compose "$node" up --detach --wait --wait-timeout 180
  which+=(--project "$(project_of "$node")" --env-file "$WORK/$node.env")
done
say "the main job"
"$PYTHON" -m deploy.demo --compose "${which[@]}" "$@"
