/* file.c: what the benchmark's file.lua does, in C on libuv: the practical limit of a program that uses it.
 *
 *     bench_file [MiB]
 *
 * Reads a file of so many MiB (256), which is in the system's memory, in pieces of 64 KiB, one after the other, without
 * blocking its loop. Prints the milliseconds of CPU, of all threads. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <uv.h>

enum { PIECE = 64 * 1024, MIB = 1024 * 1024 };

static char      piece[MIB];
static uv_file   file;
static long long bytes;

static void check(ssize_t result, const char *what) {
    if (result >= 0) return;
    fprintf(stderr, "bench_file: %s: %s\n", what, uv_strerror((int)result));
    exit(1);
}

static void next(uv_fs_t *request);

static void on_read(uv_fs_t *request) {
    ssize_t got = request->result;
    check(got, "read");
    uv_fs_req_cleanup(request);
    bytes += got;
    if (got > 0) next(request);
}

static void next(uv_fs_t *request) {
    uv_buf_t buffer = uv_buf_init(piece, PIECE);
    check(uv_fs_read(uv_default_loop(), request, file, &buffer, 1, -1, on_read), "uv_fs_read");
}

int main(int argc, char **argv) {
    int     megabytes = argc > 1 ? atoi(argv[1]) : 256;
    char    name[] = "/tmp/bench_file_XXXXXX";
    uv_fs_t request;
    memset(piece, 'x', sizeof piece);
    check(uv_fs_mkstemp(NULL, &request, name, NULL), "uv_fs_mkstemp");
    file = (uv_file)request.result;
    snprintf(name, sizeof name, "%s", request.path);
    uv_fs_req_cleanup(&request);
    uv_buf_t whole = uv_buf_init(piece, MIB);
    for (int i = 0; i < megabytes; i++) {
        check(uv_fs_write(NULL, &request, file, &whole, 1, -1, NULL), "write");
        uv_fs_req_cleanup(&request);
    }
    uv_fs_close(NULL, &request, file, NULL);
    clock_t began = clock();
    file = uv_fs_open(NULL, &request, name, O_RDONLY, 0, NULL);
    check(file, "uv_fs_open");
    uv_fs_req_cleanup(&request);
    next(&request);
    uv_run(uv_default_loop(), UV_RUN_DEFAULT);
    uv_fs_close(NULL, &request, file, NULL);
    printf("%.3f\n", (double)(clock() - began) * 1e3 / CLOCKS_PER_SEC);
    uv_fs_unlink(NULL, &request, name, NULL);
    return bytes != (long long)megabytes * MIB;
}
