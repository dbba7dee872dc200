/* Counts visits: every connection to port 7000 gets the next number as one line.
 * The number is kept in /data/visits. `--check` is the health probe: it reads the
 * number of a running counter without raising it. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { PORT = 7000 };
static const char path[] = "/data/visits";

static long load(void) {
    long number = 0;
    FILE *file = fopen(path, "r");
    if (file) {
        if (fscanf(file, "%ld", &number) != 1) number = 0;
        fclose(file);
    }
    return number;
}

/* Written beside and renamed: a crash leaves the old number, never half of one. */
static int save(long number) {
    char new_path[64];
    snprintf(new_path, sizeof new_path, "%s.new", path);
    FILE *file = fopen(new_path, "w");
    if (!file) return -1;
    fprintf(file, "%ld\n", number);
    if (fclose(file)) return -1;
    return rename(new_path, path);
}

static struct sockaddr_in address(in_addr_t host) {
    struct sockaddr_in a;
    memset(&a, 0, sizeof a);
    a.sin_family = AF_INET;
    a.sin_port = htons(PORT);
    a.sin_addr.s_addr = htonl(host);
    return a;
}

static int check(void) {
    struct sockaddr_in a = address(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    char answer[32] = "";
    if (connect(fd, (struct sockaddr *)&a, sizeof a)) { perror("counter: not listening"); return 1; }
    if (write(fd, "?", 1) != 1 || read(fd, answer, sizeof answer - 1) <= 0) { perror("counter: no answer"); return 1; }
    printf("%s", answer);
    return 0;
}

static void stop(int signal) { (void)signal; _exit(0); }

int main(int argc, char **argv) {
    if (argc > 1 && !strcmp(argv[1], "--check")) return check();
    signal(SIGTERM, stop);
    signal(SIGINT, stop);
    signal(SIGPIPE, SIG_IGN);
    setvbuf(stdout, NULL, _IOLBF, 0);
    int listener = socket(AF_INET, SOCK_STREAM, 0), yes = 1;
    struct sockaddr_in a = address(INADDR_ANY);
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    if (bind(listener, (struct sockaddr *)&a, sizeof a) || listen(listener, 64)) { perror("counter: port 7000"); return 1; }
    long number = load();
    printf("counter starts at %ld\n", number);
    for (;;) {
        int fd = accept(listener, NULL, NULL);
        char request = 0, answer[32];
        if (fd < 0) continue;
        if (read(fd, &request, 1) == 1) {
            if (request == '+' && save(++number)) perror("counter: cannot save");
            int length = snprintf(answer, sizeof answer, "%ld\n", number);
            if (write(fd, answer, (size_t)length) < 0) perror("counter: write");
        }
        close(fd);
    }
}
