#!/bin/sh
# Lets an InfluxDB start on existing data only if that data was last used by the same version, or was backed up since: a newer server changes
# the files for good, and the way back is the backup.
#
#   influxdb-guard.sh VERSION DATA_FOLDER BACKUP_FOLDER
set -eu
version=$1 data=$2 backups=$3
note="$data/iv3-influxdb-version"

if [ ! -d "$data" ] || [ -z "$(ls -A "$data" 2>/dev/null)" ]; then
  mkdir -p "$data"
elif [ ! -f "$note" ] || [ "$(cat "$note")" != "$version" ]; then
  was=$( [ -f "$note" ] && cat "$note" || echo "an unknown version" )
  newest=$(find "$backups" -type f -newer "$data" 2>/dev/null | head -n 1)
  if [ -z "$newest" ]; then
    echo "InfluxDB $version was not started: $data was last used by $was, and there is no backup in $backups that is younger than it." >&2
    echo "Start the old version once more, run: task idb-backup, and then try again. (Everything iv3 itself wrote can be made anew: iv3 replay.)" >&2
    exit 1
  fi
fi
printf '%s' "$version" > "$note"
