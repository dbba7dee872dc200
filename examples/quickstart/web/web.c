/* A web page on port 8080: greeting, visitor's number (asked of $COUNTER), host name.
 * The text is read from /srv/page.txt for every visit, so an edit shows at once. */
#include <netdb.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static void stop(int signal) { (void)signal; _exit(0); }

/* The next number from `host:port`, or "?" when the counter does not answer. */
static void next_number(const char *where, char *number, size_t size) {
    char host[128];
    struct addrinfo hints, *found = NULL;
    snprintf(number, size, "?");
    snprintf(host, sizeof host, "%s", where);
    char *port = strchr(host, ':');
    if (!port) return;
    *port++ = 0;
    memset(&hints, 0, sizeof hints);
    hints.ai_family = AF_INET;
    hints.ai_socktype = SOCK_STREAM;
    if (getaddrinfo(host, port, &hints, &found)) return;
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    if (!connect(fd, found->ai_addr, found->ai_addrlen) && write(fd, "+", 1) == 1) {
        ssize_t length = read(fd, number, size - 1);
        if (length > 0) number[strcspn(number, "\n")] = 0; else snprintf(number, size, "?");
    }
    close(fd);
    freeaddrinfo(found);
}

/* The page with its first `%s` replaced by the number and its second by the host. */
static void render(char *out, size_t size, const char *number, const char *host) {
    char page[512] = "";
    FILE *file = fopen("/srv/page.txt", "r");
    if (file) {
        page[fread(page, 1, sizeof page - 1, file)] = 0;
        fclose(file);
    }
    page[strcspn(page, "\n")] = 0;
    const char *values[] = {number, host, ""};
    size_t used = 0, value = 0;
    for (const char *at = page; *at && used + 1 < size; ) {
        if (at[0] == '%' && at[1] == 's') {
            int wrote = snprintf(out + used, size - used, "%s", values[value < 2 ? value++ : 2]);
            used += wrote > 0 ? (size_t)wrote : 0;
            if (used >= size) used = size - 1;
            at += 2;
        } else out[used++] = *at++;
    }
    out[used] = 0;
}

/* Reads a request to the empty line at its end: what is left unread when a connection is closed resets it. */
static int read_request(int fd) {
    char request[2048];
    size_t used = 0;
    while (used + 1 < sizeof request) {
        ssize_t length = read(fd, request + used, sizeof request - 1 - used);
        if (length <= 0) return 0;
        used += (size_t)length;
        request[used] = 0;
        if (strstr(request, "\r\n\r\n")) return 1;
    }
    return 0;
}

int main(void) {
    const char *greeting = getenv("GREETING"), *counter = getenv("COUNTER");
    signal(SIGTERM, stop);
    signal(SIGINT, stop);
    signal(SIGPIPE, SIG_IGN);
    setvbuf(stdout, NULL, _IOLBF, 0);
    int listener = socket(AF_INET, SOCK_STREAM, 0), yes = 1;
    struct sockaddr_in a;
    memset(&a, 0, sizeof a);
    a.sin_family = AF_INET;
    a.sin_port = htons(8080);
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    if (bind(listener, (struct sockaddr *)&a, sizeof a) || listen(listener, 64)) { perror("web: port 8080"); return 1; }
    char host[64] = "";
    gethostname(host, sizeof host - 1);
    printf("web listens on port 8080\n");
    for (;;) {
        int fd = accept(listener, NULL, NULL);
        char number[32], page[640], answer[1024];
        if (fd < 0) continue;
        if (read_request(fd)) {
            next_number(counter ? counter : "", number, sizeof number);
            render(page, sizeof page, number, host);
            int length = snprintf(answer, sizeof answer,
                "HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\nConnection: close\r\n\r\n%s, %s\n",
                greeting ? greeting : "Hello", page);
            if (write(fd, answer, (size_t)length) < 0) perror("web: write");
            printf("visit %s\n", number);
        }
        close(fd);
    }
}
