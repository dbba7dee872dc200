# Visits http://web:8080/ again and again, with nothing but bash.
trap 'exit 0' TERM INT
while true; do
  if exec 3<>/dev/tcp/web/8080; then
    printf 'GET / HTTP/1.0\r\nHost: web\r\n\r\n' >&3
    # The answer's last line is the page.
    while IFS= read -r line <&3; do page=$line; done
    exec 3>&-
    echo "web says: $page"
  else
    echo "web does not answer yet"
  fi
  sleep "${EVERY:-2}" & wait $!
done
