#!/bin/sh
# Leaves a message in the node's own Redis and shows the answer. For software that runs beside the node and may write there.
#
#   ALBUM_REDIS=redis://127.0.0.1:6379/0 ALBUM_INSTITUTION=vhs-hannover sh publish.sh
set -eu
stream="album:1:in:{$ALBUM_INSTITUTION}"

# The fields are those of a CloudEvent in binary mode: its attributes with `ce-`, the type of the data, the data.
entry=$(redis-cli -u "$ALBUM_REDIS" XADD "$stream" '*' \
  ce-specversion 1.0 \
  ce-id "${ALBUM_EVENT_ID:-meeting-1}" \
  ce-source https://software.example/calendar \
  ce-type events.meeting.published.v1 \
  content-type application/json \
  data "{
    \"institution\": \"$ALBUM_INSTITUTION\",
    \"version\": 1,
    \"picture\": {
      \"meeting_id\": \"meeting_kalender0001\",
      \"kind\": \"open\",
      \"state\": \"published\",
      \"title\": \"Offenes Treffen im Freizeitheim Linden\",
      \"starts\": \"2027-03-04T17:00:00+01:00\",
      \"capacity\": 30,
      \"availability\": {\"free\": 30, \"waiting\": \"0\", \"as_of\": \"2027-01-11T09:00:00Z\"}
    }
  }")
echo "left as $entry"

# What was left is safe only once it is answered. Each answer names the entry; here the newest ten are looked through.
tries=0
until redis-cli -u "$ALBUM_REDIS" XREVRANGE "$stream:answers" + - COUNT 10 | grep -A 12 -F "$entry"; do
  tries=$((tries + 1))
  [ "$tries" -lt 60 ] || { echo "no answer yet; the message lies in $stream until the service events takes it"; exit 1; }
  sleep 0.5
done
