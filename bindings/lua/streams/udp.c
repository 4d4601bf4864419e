/* udp.c: sockets for datagrams: saros.udp.
 *
 * Such a socket begins with a stream, of which it uses the life (net.c) and the queue of writers; its transfers are its own.
 * Promises: a datagram is sent whole or not at all, in the order of the calls; one task receives at a time, a second one
 * gets EBUSY; a receive that is cancelled has taken nothing; the string is anchored while the kernel may read it. */
#include <string.h>

#include "bindings/lua/streams/socket_options.h"

enum { MOST = 65535 /* bytes in a datagram, and no more can be asked for */ };

typedef struct saros_udp {
    saros_stream   stream; /* first */
    saros_datagram in, out;
} saros_udp;

static saros_udp *check(lua_State *L) { return saros_check(L, 1, SAROS_T_UDP); }

static int failed(lua_State *L, const char *what, int code) {
    if (code == SAROS_ECLOSED) return saros_closed(L);
    return saros_fail(L, code, "%s: %s", what, saros_error_text(code));
}

/* The running task, which may use the socket now; NULL: it is closed, and the results are pushed. */
static saros_task *begin(lua_State *L, const saros_udp *self, const char *what) {
    saros_task *task = saros_begin(L, what);
    if (self->stream.rt == NULL) return NULL;
    if (self->stream.rt != task->rt) luaL_error(L, "%s: the socket belongs to another loop", what);
    return task;
}

/* ---- receiving ------------------------------------------------------------------------------------------------ */

static int receive_k(lua_State *L, int status, lua_KContext ctx) {
    char        from[SAROS_ADDRESS_TEXT];
    saros_udp  *self = lua_touserdata(L, 1);
    saros_task *task = saros_resumed_raw(L);
    int64_t     result = task->op.result;
    (void)status, (void)ctx;
    if (self->stream.reader == task) self->stream.reader = NULL;
    if (result == SAROS_ECANCELED && saros_is_cancelled(task)) return saros_raise_cancelled(L, task);
    if (result < 0) return failed(L, "receive", (int)result);
    lua_pushlstring(L, saros_lent(task->rt->loop), (size_t)result);
    lua_pushlstring(L, from, saros_address_format(&self->in.address, from));
    lua_pushboolean(L, self->in.truncated);
    return 3;
}

/* socket:receive([size]) -> data, from, truncated */
static int method_receive(lua_State *L) {
    saros_udp  *self = check(L);
    lua_Integer size = luaL_optinteger(L, 2, MOST);
    luaL_argcheck(L, size >= 1 && size <= MOST, 2, "a size from 1 to 65535 expected");
    saros_task *task = begin(L, self, "socket:receive");
    if (task == NULL) return saros_closed(L);
    if (self->stream.reader != NULL)
        return saros_fail(L, SAROS_EBUSY, "receive: another task receives from this socket");
    lua_settop(L, 1);
    self->in.buffer = NULL;
    self->stream.reader = task;
    task->op.kind = SAROS_OP_RECVFROM;
    task->op.handle = &self->stream.handle;
    task->op.datagram = &self->in;
    task->op.size = (size_t)size;
    saros_submit(task->rt->loop, &task->op);
    return saros_suspend(L, task, 0, receive_k);
}

static int next_k(lua_State *L, int status, lua_KContext ctx) {
    (void)status, (void)ctx;
    if (!lua_isnil(L, 1) || strcmp(lua_tostring(L, 3), "ECLOSED") == 0) return lua_gettop(L);
    return saros_raise_returned(L, 2, 3);
}

/* Upvalues: the state, the socket's method, the socket. */
static int next_datagram(lua_State *L) {
    lua_settop(L, 0);
    lua_pushvalue(L, lua_upvalueindex(2));
    lua_pushvalue(L, lua_upvalueindex(3));
    lua_callk(L, 1, LUA_MULTRET, 0, next_k);
    return next_k(L, LUA_OK, 0);
}

/* for data, from, truncated in socket:datagrams() do: until the socket is closed; anything else is raised */
static int method_datagrams(lua_State *L) {
    check(L);
    lua_settop(L, 1);
    lua_pushvalue(L, lua_upvalueindex(1));
    lua_pushvalue(L, lua_upvalueindex(1));
    lua_pushcclosure(L, method_receive, 1);
    lua_pushvalue(L, 1);
    lua_pushcclosure(L, next_datagram, 3);
    return 1;
}

/* ---- sending -------------------------------------------------------------------------------------------------- */

/* Stack: 1 the socket, 2 the datagram, 3 where to, if anywhere: once it waits, as a saros_address, because what the caller
 * has given may change. The task is the one that writes. */
static int sent(lua_State *L, saros_udp *self, saros_task *task, int64_t result) {
    saros_stream_pass_on(&self->stream, task);
    if (result == SAROS_ECANCELED && saros_is_cancelled(task)) return saros_raise_cancelled(L, task);
    if (self->stream.rt == NULL && result < 0) result = SAROS_ECLOSED;
    if (result < 0) return failed(L, "send", (int)result);
    lua_settop(L, 1);
    return 1;
}

static int send_k(lua_State *L, int status, lua_KContext ctx) {
    saros_udp  *self = lua_touserdata(L, 1);
    saros_task *task = saros_resumed_raw(L);
    (void)status, (void)ctx;
    lua_pushnil(L);
    lua_setiuservalue(L, 1, 1);
    return sent(L, self, task, task->op.result);
}

static int go(lua_State *L, saros_udp *self, saros_task *task, const saros_address *to) {
    size_t size;
    self->out = (saros_datagram){.data = lua_tolstring(L, 2, &size)};
    if (to != NULL) self->out.address = *to;
    task->op.kind = SAROS_OP_SENDTO;
    task->op.handle = &self->stream.handle;
    task->op.datagram = &self->out;
    task->op.size = size;
    if (saros_submit_now(task->rt->loop, &task->op)) return saros_answer(L, task, sent(L, self, task, task->op.result));
    lua_pushvalue(L, 2);
    lua_setiuservalue(L, 1, 1);
    return saros_suspend(L, task, 0, send_k);
}

/* It is this task's turn to send, or its wait for that was ended. */
static int turn_k(lua_State *L, int status, lua_KContext ctx) {
    saros_udp  *self = lua_touserdata(L, 1);
    saros_task *task = saros_resumed_raw(L);
    (void)status, (void)ctx;
    saros_wait_unlink(&task->wait);
    if (saros_is_cancelled(task)) return sent(L, self, task, SAROS_ECANCELED);
    if (task->op.result < 0 || self->stream.rt == NULL) return sent(L, self, task, SAROS_ECLOSED);
    return go(L, self, task, lua_touserdata(L, 3));
}

/* The address has a name in it, and its text is on top: the part in Lua looks it up. */
static int by_name(lua_State *L, const char *method) {
    lua_insert(L, 2);
    lua_pushstring(L, method);
    lua_insert(L, 2);
    lua_settop(L, 4); /* socket, method, text, the datagram */
    return saros_call_part(L, "_udp_name", NULL);
}

/* socket:send(data[, address]) -> socket */
static int method_send(lua_State *L) {
    saros_udp    *self = check(L);
    saros_address address;
    luaL_checkstring(L, 2);
    saros_task *task = begin(L, self, "socket:send");
    if (task == NULL) return saros_closed(L);
    lua_settop(L, 3);
    bool addressed = !lua_isnil(L, 3);
    if (addressed) {
        int code = saros_read_address(L, task->rt, 3, &address);
        if (code == SAROS_ENOSYS && task->rt->world == NULL) return by_name(L, "send");
        if (code < 0) return saros_no_address(L, code, "send");
        lua_settop(L, 3);
    }
    if (self->stream.writer != NULL) {
        if (addressed) {
            memcpy(lua_newuserdatauv(L, sizeof address, 0), &address, sizeof address);
            lua_replace(L, 3);
        }
        saros_wait_on(task, &self->stream.writers);
        return saros_suspend(L, task, 0, turn_k);
    }
    self->stream.writer = task;
    return go(L, self, task, addressed ? &address : NULL);
}

/* ---- peers, groups, options ------------------------------------------------------------------------------------ */

/* socket:connect([address]) -> socket */
static int method_connect(lua_State *L) {
    saros_udp    *self = check(L);
    saros_setting setting = {.option = SAROS_OPTION_PEER};
    lua_settop(L, 2);
    if (self->stream.rt == NULL) return saros_closed(L);
    if (!lua_isnil(L, 2)) {
        int code = saros_read_address(L, self->stream.rt, 2, &setting.address);
        if (code == SAROS_ENOSYS && self->stream.rt->world == NULL) return by_name(L, "connect");
        if (code < 0) return saros_no_address(L, code, "connect");
        if (setting.address.family == SAROS_UNIX) return failed(L, "connect", SAROS_EAFNOSUPPORT);
    }
    int code = saros_socket_option(&self->stream, &setting, false);
    if (code < 0)
        return saros_fail(L, code, "connect %s: %s", lua_isnil(L, 2) ? "" : lua_tostring(L, -1),
                          saros_error_text(code));
    lua_settop(L, 1);
    return 1;
}

/* A network interface: the IPv4 address that it has; for IPv6 its name or number. Raises. */
static void read_interface(lua_State *L, int arg, int index, saros_address *through) {
    const char *why = NULL, *text = lua_tostring(L, index);
    size_t      length = text != NULL ? lua_rawlen(L, index) : 0;
    if (text == NULL) luaL_argerror(L, arg, "a network interface expected: its IPv4 address, name or number");
    if (saros_address_make(through, text, length, 0, &why) == SAROS_IS_ADDRESS && through->family == SAROS_INET) return;
    lua_pushfstring(L, "fe80::1%%%s", text);
    if (saros_address_make(through, lua_tostring(L, -1), lua_rawlen(L, -1), 0, &why) != SAROS_IS_ADDRESS)
        luaL_argerror(L, arg, lua_pushfstring(L, "no such network interface: '%s'", text));
    lua_pop(L, 1);
}

/* socket:join_group(group[, interface]) -> socket */
static int member(lua_State *L, const char *what, int option) {
    const char   *why = NULL;
    size_t        length;
    saros_udp    *self = check(L);
    const char   *group = luaL_checklstring(L, 2, &length);
    saros_setting setting = {.option = option};
    bool          named = saros_address_make(&setting.address, group, length, 0, &why) != SAROS_IS_ADDRESS;
    uint8_t       first = setting.address.at.ip[0];
    if (named || (setting.address.family == SAROS_INET ? first >> 4 != 14 : first != 0xff))
        return luaL_argerror(L, 2, lua_pushfstring(L, "'%s' is no address of a group", group));
    lua_settop(L, 3);
    if (!lua_isnil(L, 3)) {
        lua_tostring(L, 3); /* a number becomes its text */
        read_interface(L, 3, 3, &setting.through);
    }
    if (self->stream.rt == NULL) return saros_closed(L);
    int code = saros_socket_option(&self->stream, &setting, false);
    if (code < 0) return saros_fail(L, code, "%s %s: %s", what, group, saros_error_text(code));
    lua_settop(L, 1);
    return 1;
}

static int method_join_group(lua_State *L) { return member(L, "join_group", SAROS_OPTION_JOIN); }
static int method_leave_group(lua_State *L) { return member(L, "leave_group", SAROS_OPTION_LEAVE); }

/* The options that are set once it is open. 0, or an error and which it was. */
static int apply(lua_State *L, saros_udp *self, const saros_address *through, const char **which) {
    saros_setting setting = {.option = SAROS_OPTION_MULTICAST_INTERFACE, .through = *through};
    *which = "multicast_interface";
    int error = through->family != 0 ? saros_socket_option(&self->stream, &setting, false) : 0;
    return error == 0 ? saros_socket_options_set(L, 2, &self->stream, saros_udp_knows, which) : error;
}

/* saros.udp([address[, options]]) -> socket. Needs no task: nothing in it waits. */
static int udp(lua_State *L) {
    static const char *const names[] = {
        "broadcast",      "multicast_loop", "ttl",        "multicast_ttl",       "send_buffer",
        "receive_buffer", "reuse",          "reuse_port", "multicast_interface", NULL};
    saros_rt     *rt = saros_loop_now(L, "saros.udp");
    saros_address address, through = {0};
    const char   *which = NULL;
    lua_settop(L, 2);
    saros_check_options(L, 2, names);
    saros_socket_options_check(L, 2, saros_udp_knows); /* before anything is open */
    bool reuse = saros_option_flag(L, 2, "reuse", false), port = saros_option_flag(L, 2, "reuse_port", false);
    if (lua_istable(L, 2) && saros_option(L, 2, "multicast_interface") != LUA_TNIL) {
        lua_tostring(L, -1);
        read_interface(L, 2, -1, &through);
    }
    lua_settop(L, 2);
    if (lua_isnil(L, 1)) {
        lua_pushliteral(L, "*:0");
        lua_replace(L, 1);
    }
    int code = saros_read_address(L, rt, 1, &address);
    if (code < 0) return saros_no_address(L, code, "udp");
    lua_replace(L, 1); /* its text */
    lua_settop(L, 2);
    address.bind = (uint16_t)((reuse ? SAROS_REUSE_ADDRESS : 0) | (port ? SAROS_REUSE_PORT : 0));
    saros_udp *self = (saros_udp *)(void *)saros_stream_make(L, rt, SAROS_T_UDP, sizeof *self);
    saros_op   op = {.kind = SAROS_OP_DATAGRAM, .handle = &self->stream.handle, .address = &address};
    saros_leave_host(rt, rt->task);
    saros_submit_now(rt->loop, &op); /* no driver has to wait for it */
    if (op.result < 0) {
        saros_stream_unlink(&self->stream);
        return saros_fail(L, (int)op.result, "udp %s: %s", lua_tostring(L, 1), saros_error_text((int)op.result));
    }
    code = apply(L, self, &through, &which);
    if (code == 0) return 1;
    saros_stream_close(L, 3, &self->stream);
    return saros_fail(L, code, "udp %s: option '%s': %s", lua_tostring(L, 1), which, saros_error_text(code));
}

void saros_open_udp(lua_State *L) {
    static const luaL_Reg methods[] = {{"send", method_send},
                                       {"receive", method_receive},
                                       {"datagrams", method_datagrams},
                                       {"connect", method_connect},
                                       {"join_group", method_join_group},
                                       {"leave_group", method_leave_group},
                                       {NULL, NULL}};
    static const luaL_Reg functions[] = {{"udp", udp}, {NULL, NULL}};
    saros_type_make(L, SAROS_T_UDP, "saros.udp", methods, saros_any_meta);
    saros_type_extend(L, SAROS_T_UDP, saros_any_methods);
    saros_add(L, functions);
}
