#!/usr/bin/env bash
# Build the whole network, run the main job through it, take it down again; whatever happens, nothing is left running.
#   deploy/compose-demo.sh            (make compose-demo)
# Further arguments are given to the job. KEEP=1 leaves the network up and says how to take it down.
set -Eeuo pipefail
cd "$(dirname "$0")/.."
PYTHON=${PYTHON:-.venv/bin/python}
PROJECT=${COMPOSE_PROJECT_NAME:-album-demo}
WORK=$(mktemp -d "${TMPDIR:-/tmp}/album-demo.XXXXXX")
ENV_FILE=$WORK/env

say() { printf '%s %s\n' "$(date +%T)" "$*" >&2; }
compose() { docker compose --project-name "$PROJECT" --env-file "$ENV_FILE" "$@"; }
secret() { "$PYTHON" -c 'import secrets; print(secrets.token_hex(24))'; }
free_ports() { # how many -> that many ports nobody listens on
  "$PYTHON" -c 'import sys; from shared.embedded.ports import free_port; print(*[free_port() for _ in range(int(sys.argv[1]))])' "$1"
}

write_env() {
  local ports; read -ra ports < <(free_ports 5)
  umask 077
  {
    for name in ALBUM_POSTGRES_PASSWORD ALBUM_DATABASE_PASSWORD ALBUM_REDIS_PASSWORD ALBUM_SECRET; do
      echo "$name=$(secret)"
    done
    echo "ALBUM_MEMBERS_PORT=${ports[0]}"; echo "ALBUM_COURSES_PORT=${ports[1]}"; echo "ALBUM_EVENTS_PORT=${ports[2]}"
    echo "ALBUM_NOTIFICATIONS_PORT=${ports[3]}"; echo "ALBUM_MAIL_PORT=${ports[4]}"
    echo "ALBUM_VERSION=demo"
    echo "ALBUM_OFFER_TIME=PT8S"
    if [ -n "${ALBUM_PIP_CERT:-}" ]; then echo "ALBUM_PIP_CERT=$ALBUM_PIP_CERT"; fi
  } > "$ENV_FILE"
}

take_down() {
  local code=$?
  trap - EXIT INT TERM
  if [ "$code" != 0 ] && [ -s "$ENV_FILE" ]; then
    say "failed with $code; the last lines of every container:"
    compose ps -a >&2 || true
    compose logs --no-color --tail 25 >&2 || true
  fi
  if [ -n "${KEEP:-}" ]; then
    say "left running; to end it: docker compose -p $PROJECT --env-file $ENV_FILE down -v"
  else
    [ ! -s "$ENV_FILE" ] || compose down --volumes --remove-orphans --timeout 10 >&2 || true
    rm -rf "$WORK"
  fi
  exit "$code"
}
trap take_down EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

docker info >/dev/null 2>&1 || { say "no Docker engine answers"; exit 3; }
docker compose version >/dev/null 2>&1 || { say "docker has no compose plugin (v2)"; exit 3; }
write_env
say "building"; compose build --quiet
say "starting"; compose up --detach --wait --wait-timeout 180
say "the main job"
"$PYTHON" -m deploy.demo --compose --env-file "$ENV_FILE" --project "$PROJECT" "$@"
