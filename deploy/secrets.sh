#!/bin/sh
# Make the secrets of an installation: one file each, named after the variable it stands for.
#
#   sh deploy/secrets.sh                      into deploy/secrets, for docker-compose.yml
#   POSTGRES=db.example.net:5432 REDIS=cache.example.net:6379 sh deploy/secrets.sh DIRECTORY
#
# What is there already is kept, so running it again adds what a newer version needs. The files may be read by
# the containers' users; the directory is closed, so that nobody else on this machine reaches them.
set -eu
directory=${1:-$(dirname "$0")/secrets}
postgres=${POSTGRES:-postgres:5432}
redis=${REDIS:-redis:6379}
mkdir -p "$directory"
chmod 700 "$directory"

random() { od -An -N32 -tx1 /dev/urandom | tr -d ' \n'; }

# keep NAME VALUE: write the file unless it is there.
keep() {
    [ -e "$directory/$1" ] || (umask 222 && printf '%s' "$2" >"$directory/$1")
}

read_secret() { cat "$directory/$1"; }

for name in SUPERUSER_PASSWORD OWNER_PASSWORD APP_PASSWORD RELAY_PASSWORD REDIS_PASSWORD FLOWER_PASSWORD GRAFANA_PASSWORD \
    GENIUS_METRICS_TOKEN GENIUS_JWT_SECRET GENIUS_SEAL_SECRET GENIUS_POINTER_SECRET GENIUS_CREDENTIAL_SECRET; do
    keep "$name" "$(random)"
done

database() { printf 'postgresql://%s:%s@%s/%s' "$1" "$(read_secret "$2")" "$postgres" "$3"; }

keep GENIUS_DATABASE_URL "$(database genius_app APP_PASSWORD genius)"
keep GENIUS_RELAY_DATABASE_URL "$(database genius_relay RELAY_PASSWORD genius)"
keep GENIUS_OWNER_DATABASE_URL "$(database genius_owner OWNER_PASSWORD genius)"
keep GENIUS_SUPERUSER_DATABASE_URL "$(database postgres SUPERUSER_PASSWORD postgres)"
keep GENIUS_REDIS_URL "redis://:$(read_secret REDIS_PASSWORD)@$redis/0"
keep GENIUS_FLOWER_USERS "$(printf '{"operator": {"password": "%s", "role": "operator"}}' "$(read_secret FLOWER_PASSWORD)")"
# Nothing until you have them: what platforms know you by, former master keys, the mail server's password.
keep GENIUS_SOCIAL_CLIENTS "{}"
keep GENIUS_RETIRED_CREDENTIAL_SECRETS "[]"
keep GENIUS_SMTP_PASSWORD ""

echo "The secrets are in $directory. Keep a copy where you keep keys: GENIUS_CREDENTIAL_SECRET cannot be made again."
