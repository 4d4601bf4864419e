/* service_openssl.c: finds OpenSSL's functions in the shared library of the system.
 *
 * The version is that of the headers which this was built with: 3, or 1.1.1. Promises: the table is whole before anybody
 * sees it, also where two threads begin at once. */
#include <dlfcn.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

#include "bindings/lua/tls/service_openssl.h"

#ifdef SAROS_OPENSSL_NAME
static const char library_name[] = SAROS_OPENSSL_NAME;
#elif OPENSSL_VERSION_NUMBER >= 0x30000000L
static const char library_name[] = "libssl.so.3";
#else
static const char library_name[] = "libssl.so.1.1";
#endif

static _Atomic(saros_openssl *) table;

const saros_openssl *saros_openssl_table(void) { return atomic_load_explicit(&table, memory_order_acquire); }

/* What is in libcrypto is found through libssl, which needs it. */
static bool fill(saros_openssl *to, char *why, size_t size) {
    to->library = dlopen(library_name, RTLD_NOW | RTLD_LOCAL);
    if (to->library == NULL) {
        snprintf(why, size, "%s", dlerror());
        return false;
    }
#define TEXT(name)     #name
#define EXPANDED(name) TEXT(name) /* some names of old are macros by now */
#define FIND(name)                                                         \
    *(void **)(void *)&to->name = dlsym(to->library, EXPANDED(name));      \
    if (to->name == NULL) {                                                \
        snprintf(why, size, "%s has no %s", library_name, EXPANDED(name)); \
        dlclose(to->library);                                              \
        return false;                                                      \
    }
    SAROS_OPENSSL_FUNCTIONS(FIND)
#undef FIND
    to->method = saros_tls_method(to);
    if (to->method != NULL) return true;
    snprintf(why, size, "not enough memory");
    dlclose(to->library);
    return false;
}

const saros_openssl *saros_openssl_open(char *why, size_t size) {
    saros_openssl *found = atomic_load_explicit(&table, memory_order_acquire);
    if (found != NULL) return found;
    saros_openssl *made = calloc(1, sizeof *made);
    if (made == NULL) {
        snprintf(why, size, "not enough memory");
        return NULL;
    }
    if (!fill(made, why, size)) {
        free(made);
        return NULL;
    }
    if (atomic_compare_exchange_strong(&table, &found, made)) return made;
    made->BIO_meth_free(made->method);
    dlclose(made->library); /* another thread was quicker; found is its table now */
    free(made);
    return found;
}

/* A module may be unloaded, and loaded again; OpenSSL stays where it is. */
__attribute__((destructor)) static void unload(void) {
    saros_openssl *made = atomic_exchange(&table, NULL);
    if (made == NULL) return;
    made->BIO_meth_free(made->method);
    free(made);
}
