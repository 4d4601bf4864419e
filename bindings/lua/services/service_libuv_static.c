/* service_libuv_static.c: libuv's functions where it is linked with us: on Windows, where no system has it. */
#include "bindings/lua/services/service_libuv.h"

int saros_libuv_open(saros_libuv *uv, char *why, size_t size) {
    (void)why, (void)size;
#define TAKE(name) uv->name = uv_##name;
    SAROS_UV_FUNCTIONS(TAKE)
#undef TAKE
    return 0;
}

void saros_libuv_close(saros_libuv *uv) { (void)uv; }

int saros_libuv_thread(const saros_libuv *uv, uv_thread_t *thread, uv_thread_cb body, void *p) {
    return uv->thread_create(thread, body, p);
}
