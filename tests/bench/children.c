/* children.c: what the benchmark's children.lua does, in C on libuv: the practical limit of a program that uses it.
 *
 *     bench_children [N]
 *
 * Runs /bin/true N times (1,000), four at a time, each with a pipe as its standard output that is read to its end. Prints
 * the milliseconds that this took. */
#include <stdio.h>
#include <stdlib.h>
#include <uv.h>

enum { AT_ONCE = 4 };

typedef struct child {
    uv_process_t process;
    uv_pipe_t    output;
    int          left; /* of process and pipe */
    char         buffer[64 * 1024];
} child;

static int   to_begin = 1000, running;
static child children[AT_ONCE];

static void check(int error, const char *what) {
    if (error >= 0) return;
    fprintf(stderr, "bench_children: %s: %s\n", what, uv_strerror(error));
    exit(1);
}

static void begin(child *c);

static void closed(uv_handle_t *handle) {
    child *c = handle->data;
    if (--c->left > 0) return;
    running--;
    if (to_begin > 0) begin(c);
}

static void on_exit_of(uv_process_t *process, int64_t status, int number) {
    if (status != 0 || number != 0) exit(1);
    uv_close((uv_handle_t *)process, closed);
}

static void room(uv_handle_t *handle, size_t size, uv_buf_t *buffer) {
    child *c = handle->data;
    (void)size;
    *buffer = uv_buf_init(c->buffer, sizeof c->buffer);
}

static void on_read(uv_stream_t *stream, ssize_t got, const uv_buf_t *buffer) {
    (void)buffer;
    if (got < 0) uv_close((uv_handle_t *)stream, closed);
}

static void begin(child *c) {
    char                *arguments[] = {"true", NULL};
    uv_stdio_container_t stdio[3] = {
        {.flags = UV_IGNORE}, {.flags = UV_CREATE_PIPE | UV_WRITABLE_PIPE}, {.flags = UV_INHERIT_FD, .data.fd = 2}};
    uv_process_options_t options = {
        .file = "true", .args = arguments, .exit_cb = on_exit_of, .stdio = stdio, .stdio_count = 3};
    to_begin--, running++;
    c->left = 2;
    check(uv_pipe_init(uv_default_loop(), &c->output, 0), "uv_pipe_init");
    stdio[1].data.stream = (uv_stream_t *)&c->output;
    c->process.data = c->output.data = c;
    check(uv_spawn(uv_default_loop(), &c->process, &options), "uv_spawn");
    check(uv_read_start((uv_stream_t *)&c->output, room, on_read), "uv_read_start");
}

int main(int argc, char **argv) {
    if (argc > 1) to_begin = atoi(argv[1]);
    uint64_t began = uv_hrtime();
    for (int i = 0; i < AT_ONCE && to_begin > 0; i++) begin(&children[i]);
    uv_run(uv_default_loop(), UV_RUN_DEFAULT);
    printf("%.3f\n", (double)(uv_hrtime() - began) / 1e6);
    return running != 0;
}
