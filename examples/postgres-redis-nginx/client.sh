# Writes a word through each server and reads it back.
set -euo pipefail
word=word-$RANDOM$RANDOM
export PGPASSWORD=$(cat /run/secrets/db_password)

psql -qAt -c "create table if not exists words(word text)" -c "insert into words values ('$word')"
[[ $(psql -qAt -c "select word from words where word = '$word'") == "$word" ]]
echo "postgres keeps $(psql -qAt -c 'select count(*) from words') word(s)"

[[ $(redis-cli -h cache set word "$word") == OK && $(redis-cli -h cache get word) == "$word" ]]
echo "redis keeps the word"

# HTTP with nothing but bash: method, path, body.
http() {
  exec 3<>/dev/tcp/web/80
  printf '%s %s HTTP/1.0\r\nHost: web\r\nContent-Length: %d\r\n\r\n%s' "$1" "$2" "${#3}" "$3" >&3
  cat <&3
}
http PUT "/$word" "$word" | head -n 1 | grep -q -E ' 20[14] '
[[ $(http GET "/$word" '' | tail -n 1) == "$word" ]]
echo "nginx serves the word"
echo "all three answered"
