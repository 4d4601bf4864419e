/* service_names.c: looks names up, by the system's getaddrinfo on the service's thread.
 *
 * Nothing is remembered: caches are the system's. Promises: addresses come in the system's order (RFC 6724), each once. */
#include <netdb.h>
#include <netinet/in.h>
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
        if (memcmp(&self->found[i], &address, sizeof address) == 0) return true; /* one for each kind of socket */
    self->found[self->count++] = address;
    return self->count < MOST_ADDRESSES;
}

static void on_found(uv_getaddrinfo_t *request, int status, struct addrinfo *list) {
    lookup            *self = request->data;
    const saros_libuv *uv = saros_service_uv(request->loop->data);
    for (const struct addrinfo *one = list; status == 0 && one != NULL && add(self, one); one = one->ai_next) continue;
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

void saros_open_lookup(lua_State *L) {
    saros_type_make(L, SAROS_T_LOOKUP, "saros.lookup", NULL, (const luaL_Reg[]){{NULL, NULL}});
}
