/* names.c: names of hosts: saros.resolve.
 *
 * Numbers, "localhost" and the hosts of a simulated world are answered at once; other names are the service's
 * (service_names.c). A name is taken whole or refused. */
#include <string.h>

#include "bindings/lua/services/names.h"

enum {
    LONGEST_HOST = 255, /* bytes: RFC 1035, with the dots */
    LONGEST_SERVICE = 32
};

/* Pushes {host =, port =, family =}. */
void saros_push_address(lua_State *L, const saros_address *address) {
    char text[SAROS_ADDRESS_TEXT], *host = text;
    saros_address_format(address, text); /* "127.0.0.1:80", "[::1]:80" */
    char *end = strrchr(text, ':');
    if (*host == '[') host++, end--;
    lua_createtable(L, 0, 3);
    lua_pushinteger(L, address->port);
    lua_setfield(L, -2, "port");
    lua_pushstring(L, address->family == SAROS_INET ? "inet" : "inet6");
    lua_setfield(L, -2, "family");
    lua_pushlstring(L, host, (size_t)(end - host));
    lua_setfield(L, -2, "host");
}

int saros_lookup_failed(lua_State *L, int code) {
    const char *why = code == SAROS_EAGAIN ? "no server of names answers now" : saros_error_text(code);
    return saros_fail(L, code, "resolve %s: %s", lua_tostring(L, 1), why);
}

static int check_family(lua_State *L, int arg) {
    static const char *const known[] = {"family", NULL};
    int                      family = 0;
    saros_check_options(L, arg, known);
    if (lua_isnoneornil(L, arg) || saros_option(L, arg, "family") == LUA_TNIL) return family;
    const char *name = lua_tostring(L, -1);
    if (name != NULL && strcmp(name, "inet") == 0) family = SAROS_INET;
    else if (name != NULL && strcmp(name, "inet6") == 0) family = SAROS_INET6;
    else luaL_argerror(L, arg, "option 'family': \"inet\" or \"inet6\" expected");
    lua_pop(L, 1);
    return family;
}

/* Is the host known without asking anybody? Then 0, and the address; or SAROS_EAGAIN; or what is wrong. */
static int known(const saros_rt *rt, const char *host, size_t length, int port, int family, saros_address *address) {
    const char *why;
    int         is = *host == '*' ? SAROS_EINVAL : saros_address_make(address, host, length, port, &why);
    if (is == SAROS_IS_NAME && rt->world == NULL) return SAROS_EAGAIN;
    if (is == SAROS_IS_NAME) is = rt->world->resolve((saros_rt *)rt, host, length, address);
    if (is < 0) return is == SAROS_EINVAL ? SAROS_ENAME : is;
    if (family == 0 || family == address->family) return 0;
    return strcmp(host, "localhost") == 0 && rt->world == NULL ? SAROS_EAGAIN : SAROS_ENAME;
}

/* saros.resolve(host, service or port, options) -> {{host =, port =, family =}, …} */
static int resolve(lua_State *L) {
    size_t        length, service_length = 0;
    const char   *host = luaL_checklstring(L, 1, &length), *service = NULL;
    lua_Integer   port = 0;
    saros_address address = {0};
    saros_task   *task = saros_begin(L, "saros.resolve");
    if (lua_isinteger(L, 2)) port = lua_tointeger(L, 2);
    else if (!lua_isnoneornil(L, 2)) service = luaL_checklstring(L, 2, &service_length);
    luaL_argcheck(L, length > 0 && strlen(host) == length, 1, "a host's name expected");
    luaL_argcheck(L, port >= 0 && port <= 65535, 2, "a port from 0 to 65535 or a service's name expected");
    luaL_argcheck(L, service == NULL || strlen(service) == service_length, 2, "a service's name expected");
    int family = check_family(L, 3);
    if (length > LONGEST_HOST)
        return saros_fail(L, SAROS_ENAMETOOLONG, "resolve: a host's name has at most %d bytes", LONGEST_HOST);
    if (service_length > LONGEST_SERVICE) return saros_fail(L, SAROS_ENAME, "resolve: no such service: %s", service);
    int error = service != NULL && task->rt->world != NULL ? SAROS_ENOSYS
                : service != NULL                          ? SAROS_EAGAIN
                                                           : known(task->rt, host, length, (int)port, family, &address);
    lua_settop(L, 2);
    if (error == SAROS_EAGAIN) return saros_lookup(L, task, service, service != NULL ? -1 : (int)port, family);
    if (error < 0) return saros_lookup_failed(L, error);
    lua_createtable(L, 1, 0);
    saros_push_address(L, &address);
    lua_rawseti(L, -2, 1);
    return saros_answer(L, task, 1);
}

void saros_open_names(lua_State *L) {
    static const luaL_Reg functions[] = {{"resolve", resolve}, {NULL, NULL}};
    saros_open_lookup(L);
    saros_add(L, functions);
}
