/* service_names.c: looks names up, by the system's getaddrinfo on the service's thread.
 *
 * Nothing is remembered: caches are the system's. Promises: addresses come in the system's order (RFC 6724), each once. */
#include <stdio.h>
#include <string.h>

#include "bindings/lua/services/names.h"
#include "bindings/lua/services/service.h"

enum { MOST_ADDRESSES = 64 };

typedef struct lookup {
    saros_job        job; /* first */
    uv_getaddrinfo_t request;
    struct addrinfo  hints;
    const char      *host, *service; /* in the user values */
    int              port;           /* -1: as the service's name says */
    int              count;
    saros_address    found[MOST_ADDRESSES];
} lookup;

/* ---- on the service's thread ---------------------------------------------------------------------------------- */

static bool is_same(const saros_address *one, const saros_address *other) {
    return one->family == other->family && one->port == other->port && one->scope == other->scope &&
           memcmp(one->at.ip, other->at.ip, sizeof one->at.ip) == 0;
}

static bool add(lookup *self, const struct addrinfo *one) {
    saros_address address = {0};
    if (one->ai_family == AF_INET) {
        struct sockaddr_in in;
        memcpy(&in, one->ai_addr, sizeof in);
        address.family = SAROS_INET;
        address.port = ntohs(in.sin_port);
        memcpy(address.at.ip, &in.sin_addr, 4);
    } else if (one->ai_family == AF_INET6) {
        struct sockaddr_in6 in;
        memcpy(&in, one->ai_addr, sizeof in);
        address.family = SAROS_INET6;
        address.port = ntohs(in.sin6_port);
        address.scope = in.sin6_scope_id;
        memcpy(address.at.ip, &in.sin6_addr, 16);
    } else {
        return true;
    }
    if (self->port >= 0) address.port = (uint16_t)self->port;
    for (int i = 0; i < self->count; i++)
        if (is_same(&self->found[i], &address)) return true; /* one for each kind of socket */
    self->found[self->count++] = address;
    return self->count < MOST_ADDRESSES;
}

static void on_found(uv_getaddrinfo_t *request, int status, struct addrinfo *list) {
    lookup                *self = request->data;
    const saros_libuv     *uv = saros_service_uv(request->loop->data);
    const struct addrinfo *one = status == 0 ? list : NULL;
    while (one != NULL && add(self, one)) one = one->ai_next;
    if (list != NULL) uv->freeaddrinfo(list);
    saros_job_done(&self->job, status != 0 ? saros_error_from_uv(status) : self->count == 0 ? SAROS_ENAME : 0);
}

static int begin(saros_service *service, saros_job *job) {
    lookup *self = (lookup *)(void *)job;
    self->request.data = self;
    return saros_error_from_uv(saros_service_uv(service)->getaddrinfo(
        saros_service_loop(service), &self->request, on_found, self->host, self->service, &self->hints));
}

static void stop(saros_service *service, saros_job *job) {
    saros_service_uv(service)->cancel(
        (uv_req_t *)(void *)&((lookup *)(void *)job)->request); /* too late: it ends by itself */
}

/* ---- on the loop's thread ------------------------------------------------------------------------------------- */

/* Stack: 1 the host, 2 the service, 3 the lookup. */
static int lookup_k(lua_State *L, int status, lua_KContext ctx) {
    (void)status, (void)ctx;
    int           error = saros_job_resumed(L, 3);
    const lookup *self = lua_touserdata(L, 3);
    if (error < 0) return saros_lookup_failed(L, error);
    lua_createtable(L, self->count, 0);
    for (int i = 0; i < self->count; i++) {
        saros_push_address(L, &self->found[i]);
        lua_rawseti(L, -2, i + 1);
    }
    return 1;
}

int saros_lookup(lua_State *L, saros_task *task, const char *service, int port, int family) {
    lookup *self = saros_new(L, saros_state(L), SAROS_T_LOOKUP, sizeof *self, 2);
    for (int i = 1; i <= 2; i++) { /* the strings stay while the service reads them */
        lua_pushvalue(L, i);
        lua_setiuservalue(L, 3, i);
    }
    self->job.begin = begin;
    self->job.stop = stop;
    self->hints.ai_family = family == SAROS_INET ? AF_INET : family == SAROS_INET6 ? AF_INET6 : AF_UNSPEC;
    self->hints.ai_socktype = SOCK_STREAM;
    self->hints.ai_flags = AI_ADDRCONFIG;
    self->host = lua_tostring(L, 1);
    self->service = service;
    self->port = port;
    return saros_job_await(L, task, 3, "saros.resolve", lookup_k);
}

/* ---- the other way: the name behind an address ---------------------------------------------------------------- */

typedef struct naming {
    saros_job        job; /* first */
    uv_getnameinfo_t request;
    union {
        struct sockaddr     any;
        struct sockaddr_in  in;
        struct sockaddr_in6 in6;
    } at;
    char name[NI_MAXHOST];
} naming;

static void on_named(uv_getnameinfo_t *request, int status, const char *name, const char *service) {
    naming *self = request->data;
    (void)service;
    if (status == 0) snprintf(self->name, sizeof self->name, "%s", name);
    saros_job_done(&self->job, saros_error_from_uv(status));
}

static int begin_naming(saros_service *service, saros_job *job) {
    naming *self = (naming *)(void *)job;
    self->request.data = self;
    return saros_error_from_uv(saros_service_uv(service)->getnameinfo(saros_service_loop(service), &self->request,
                                                                      on_named, &self->at.any, NI_NAMEREQD));
}

static void stop_naming(saros_service *service, saros_job *job) {
    saros_service_uv(service)->cancel((uv_req_t *)(void *)&((naming *)(void *)job)->request);
}

static int naming_k(lua_State *L, int status, lua_KContext ctx) {
    (void)status, (void)ctx;
    int error = saros_job_resumed(L, 2);
    if (error < 0) return saros_lookup_failed(L, error);
    lua_pushstring(L, ((const naming *)lua_touserdata(L, 2))->name);
    return 1;
}

/* saros._name_of(address) -> the name of the host that has this numeric address */
static int name_of(lua_State *L) {
    size_t        length;
    const char   *host = luaL_checklstring(L, 1, &length), *why;
    saros_address address = {0};
    saros_task   *task = saros_begin(L, "saros.resolve");
    if (saros_address_make(&address, host, length, 0, &why) != SAROS_IS_ADDRESS)
        return saros_lookup_failed(L, SAROS_ENAME);
    lua_settop(L, 1);
    naming *self = saros_new(L, saros_state(L), SAROS_T_LOOKUP, sizeof *self, 0);
    self->job.begin = begin_naming;
    self->job.stop = stop_naming;
    if (address.family == SAROS_INET) {
        self->at.in.sin_family = AF_INET;
        memcpy(&self->at.in.sin_addr, address.at.ip, 4);
    } else {
        self->at.in6.sin6_family = AF_INET6;
        self->at.in6.sin6_scope_id = address.scope;
        memcpy(&self->at.in6.sin6_addr, address.at.ip, 16);
    }
    return saros_job_await(L, task, 2, "saros.resolve", naming_k);
}

/* saros._hostname() -> what this machine calls itself; needs neither loop nor service, only the library */
static int hostname(lua_State *L) {
    saros_libuv uv = {0};
    char        text[256];
    size_t      size = sizeof text;
    int         error = saros_libuv_open(&uv, text, sizeof text);
    if (error < 0) return saros_fail(L, error, "hostname: %s", text);
    error = saros_error_from_uv(uv.os_gethostname(text, &size));
    saros_libuv_close(&uv);
    if (error < 0) return saros_fail(L, error, "hostname: %s", saros_error_text(error));
    lua_pushlstring(L, text, size);
    return 1;
}

void saros_open_lookup(lua_State *L) {
    static const luaL_Reg functions[] = {{"_name_of", name_of}, {"_hostname", hostname}, {NULL, NULL}};
    saros_type_make(L, SAROS_T_LOOKUP, "saros.lookup", NULL, (const luaL_Reg[]){{NULL, NULL}});
    saros_add(L, functions);
}
