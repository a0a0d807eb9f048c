#!/bin/bash
# Runs once, on an empty volume: one database per service, owned by the role `album`, which is no superuser.
set -euo pipefail
: "${ALBUM_DATABASE_PASSWORD:?set it in .env: the password of the role album}"

psql -v ON_ERROR_STOP=1 --no-psqlrc -U "$POSTGRES_USER" -d postgres -v password="$ALBUM_DATABASE_PASSWORD" <<'SQL'
CREATE ROLE album LOGIN PASSWORD :'password';
SQL
for service in members courses events notifications; do
  psql -v ON_ERROR_STOP=1 --no-psqlrc -U "$POSTGRES_USER" -d postgres -v name="album_$service" <<'SQL'
CREATE DATABASE :"name" OWNER album TEMPLATE template0 ENCODING 'UTF8' LC_COLLATE 'C' LC_CTYPE 'C';
REVOKE CONNECT ON DATABASE :"name" FROM PUBLIC;
SQL
done
