# Makes a PostgreSQL cluster in $PGDATA the first time, then becomes the server.
# Begins as root, because a new volume belongs to root; the server itself must not.
set -euo pipefail
if [[ $(id -u) == 0 ]]; then
  mkdir -p "$PGDATA"
  chown postgres: "$PGDATA"
  chmod 700 "$PGDATA"
  export POSTGRES_PASSWORD=$(cat "$POSTGRES_PASSWORD_FILE")
  exec setpriv --reuid=postgres --regid=postgres --init-groups bash "$0"
fi
PATH=$PATH:$(echo /usr/lib/postgresql/*/bin | tr ' ' :)
if [[ ! -s $PGDATA/PG_VERSION ]]; then
  initdb --auth=scram-sha-256 --pwfile=<(echo "$POSTGRES_PASSWORD") --encoding=UTF8 --locale=C --no-sync >/dev/null
  echo "host all all all scram-sha-256" >>"$PGDATA/pg_hba.conf"
fi
unset POSTGRES_PASSWORD
exec postgres -c listen_addresses='*' -c unix_socket_directories=/run/postgresql
