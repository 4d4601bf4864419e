/* service_libuv.c: finds libuv's functions in the shared library of the system. */
#include <dlfcn.h>
#include <signal.h>
#include <stdio.h>

#include "bindings/lua/services/service_libuv.h"
#include "core/saros.h"

#ifdef SAROS_LIBUV_NAME
static const char library_name[] = SAROS_LIBUV_NAME;
#else
static const char library_name[] = "libuv.so.1";
#endif

int saros_libuv_open(saros_libuv *uv, char *why, size_t size) {
    uv->library = dlopen(library_name, RTLD_NOW | RTLD_LOCAL);
    if (uv->library == NULL) {
        snprintf(why, size, "%s", dlerror());
        return SAROS_ENOSYS;
    }
#define FIND(name)                                                 \
    *(void **)(void *)&uv->name = dlsym(uv->library, "uv_" #name); \
    if (uv->name == NULL) {                                        \
        snprintf(why, size, "%s has no uv_" #name, library_name);  \
        saros_libuv_close(uv);                                     \
        return SAROS_ENOSYS;                                       \
    }
    SAROS_UV_FUNCTIONS(FIND)
#undef FIND
    return 0;
}

void saros_libuv_close(saros_libuv *uv) {
    if (uv->library != NULL) dlclose(uv->library);
    uv->library = NULL;
}

int saros_libuv_thread(const saros_libuv *uv, uv_thread_t *thread, uv_thread_cb body, void *p) {
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before); /* a thread begins with its maker's mask */
    int error = uv->thread_create(thread, body, p);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return error;
}
