/* send.c: what the benchmark's send.lua does, in C, with nothing but sendfile(2) and poll(2), which here waits for the disk
 * where it has to: the practical limit of a server that does nothing else.
 *
 *     bench_send [MiB]
 *
 * Sends a file of so many MiB (256), which is in the system's memory, on a connection to another process. Prints the
 * milliseconds of CPU. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { MIB = 1024 * 1024, BLOCK = 256 * 1024 };

static char piece[MIB];

static int check(int result, const char *what) {
    if (result >= 0) return result;
    fprintf(stderr, "bench_send: %s: %s\n", what, strerror(errno));
    exit(1);
}

/* The other process: reads until the end. */
static void sink(const struct sockaddr_in *address) {
    int fd = check(socket(AF_INET, SOCK_STREAM, 0), "socket");
    check(connect(fd, (const struct sockaddr *)address, sizeof *address), "connect");
    while (recv(fd, piece, BLOCK, 0) > 0) {}
    _exit(0);
}

static int connected(void) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t          size = sizeof address;
    int                listener = check(socket(AF_INET, SOCK_STREAM, 0), "socket");
    check(bind(listener, (struct sockaddr *)&address, size), "bind");
    check(listen(listener, 1), "listen");
    check(getsockname(listener, (struct sockaddr *)&address, &size), "getsockname");
    if (check(fork(), "fork") == 0) sink(&address);
    int fd = check(accept(listener, NULL, NULL), "accept");
    close(listener);
    check(fcntl(fd, F_SETFL, O_NONBLOCK), "fcntl");
    return fd;
}

int main(int argc, char **argv) {
    int   megabytes = argc > 1 ? atoi(argv[1]) : 256;
    char  name[] = "/tmp/bench_send_XXXXXX";
    int   file = check(mkstemp(name), "mkstemp"), fd = connected();
    off_t at = 0, size = (off_t)megabytes * MIB;
    memset(piece, 'x', sizeof piece);
    for (int i = 0; i < megabytes; i++)
        if (write(file, piece, MIB) != MIB) check(-1, "write");
    clock_t began = clock();
    while (at < size) {
        struct pollfd one = {.fd = fd, .events = POLLOUT};
        ssize_t       sent = sendfile(fd, file, &at, MIB);
        if (sent < 0 && errno == EAGAIN) poll(&one, 1, -1);
        else check(sent > 0 ? 0 : -1, "sendfile");
    }
    printf("%.3f\n", (double)(clock() - began) * 1e3 / CLOCKS_PER_SEC);
    unlink(name);
    return 0;
}
