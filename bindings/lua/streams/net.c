/* net.c: connect, listen, accept, close: the handles behind streams and listeners.
 *
 * Owns each stream from its making to its close. The handle is inside the userdata; while a close is on its way the
 * userdata is anchored. A stream that the script forgets is closed by its finalizer, which only submits the close.
 * Promises: close is final, idempotent, and wakes everybody who waits on the stream (with ECLOSED); a connect that
 * fails or is cancelled leaves nothing behind; a connection that was won is delivered, or closed with its stream. */
#include <string.h>

#include "bindings/lua/streams/output.h"
#include "bindings/lua/streams/socket_options.h"

/* ---- making and closing --------------------------------------------------------------------------------------- */

static void close_told(saros_loop *loop, saros_op *op, int64_t result);

saros_stream *saros_stream_make(lua_State *L, saros_rt *rt, enum saros_type type, size_t size) {
    saros_stream *stream = saros_new(L, rt->lua, type, size, type == SAROS_T_UDP); /* its datagram that flies */
    stream->handle.os = SAROS_NO_HANDLE;
    stream->rt = rt;
    stream->next = rt->streams;
    if (rt->streams != NULL) rt->streams->prev = stream;
    rt->streams = stream;
    saros_debug_opened(L, rt);
    return stream;
}

saros_stream *saros_stream_new(lua_State *L, saros_rt *rt, enum saros_type type, size_t line_limit, size_t all_limit) {
    saros_stream *stream = saros_stream_make(L, rt, type, sizeof *stream);
    stream->window.line_limit = line_limit;
    stream->window.all_limit = all_limit;
    return stream;
}

void saros_stream_unlink(saros_stream *stream) {
    saros_rt *rt = stream->rt != NULL ? stream->rt : stream->closing;
    if (rt == NULL) return; /* its loop has closed and forgotten it */
    if (stream->prev != NULL) stream->prev->next = stream->next;
    else rt->streams = stream->next;
    if (stream->next != NULL) stream->next->prev = stream->prev;
    stream->next = stream->prev = NULL;
    stream->rt = stream->closing = NULL;
}

static void end_stream(saros_stream *stream) {
    if (stream->layer != NULL) stream->layer->closing(stream);
    saros_window_forget(stream->rt->loop, &stream->window);
    saros_wake_all(&stream->writers, SAROS_ECLOSED);
    /* who copies may just now wait at the other stream, and is told nothing by this one's close */
    if (stream->window.copies & SAROS_COPIES_FROM) saros_cancel(stream->rt->loop, &stream->reader->op);
    if (stream->window.copies & SAROS_COPIES_TO) saros_cancel(stream->rt->loop, &stream->writer->op);
    stream->window.copies = 0;
    stream->reader = stream->writer = NULL;
}

/* Whoever calls sees to it that the userdata stays until the close was told. */
static void begin_close(saros_stream *stream) {
    saros_rt *rt = stream->rt;
    bool      keeps = stream->window.copies & SAROS_KEEPS;
    end_stream(stream);
    stream->rt = NULL;
    stream->closing = rt;
    stream->close = (saros_op){.kind = SAROS_OP_CLOSE, .handle = &stream->handle, .done = close_told, .size = keeps};
    saros_submit(rt->loop, &stream->close);
}

void saros_stream_close(lua_State *L, int index, saros_stream *stream) {
    if (stream->rt == NULL) return;
    lua_pushvalue(L, index);
    saros_anchor(L, stream->rt, stream); /* may raise, and then nothing has changed */
    begin_close(stream);
}

static void close_told(saros_loop *loop, saros_op *op, int64_t result) {
    saros_stream *stream = (saros_stream *)((char *)op - offsetof(saros_stream, close));
    saros_rt     *rt = stream->closing;
    (void)loop, (void)result;
    saros_stream_drop_layer(stream);
    saros_stream_unlink(stream);
    if (op->size > 0) saros_drop(rt, &stream->writer); /* what it has kept: nothing flies any more */
    saros_drop(rt, stream);
}

void saros_stream_drop_layer(saros_stream *stream) {
    saros_layer *layer = stream->layer;
    saros_output_free(stream);
    stream->layer = NULL;
    if (layer != NULL) layer->free(layer, (stream->rt != NULL ? stream->rt : stream->closing)->loop);
}

void saros_stream_abandon(saros_stream *stream) {
    saros_loop *loop = (stream->rt != NULL ? stream->rt : stream->closing)->loop;
    if (stream->rt != NULL) begin_close(stream);
    saros_abandon(loop, &stream->close);
    saros_stream_drop_layer(stream);
    saros_stream_unlink(stream);
}

/* A stream that never opened: nothing to close. */
static int never_opened(lua_State *L, saros_stream *stream, int code, const char *op, const char *address) {
    saros_stream_unlink(stream);
    return saros_fail(L, code, "%s %s: %s", op, address, saros_error_text(code));
}

saros_stream *saros_check_stream(lua_State *L) { return saros_check(L, 1, SAROS_T_STREAM); }

/* What may have a peer: a stream, or a socket for datagrams, which begins with one. */
static saros_stream *check_connected(lua_State *L) {
    saros_stream *stream = saros_test(L, saros_state(L), 1, SAROS_T_UDP);
    return stream != NULL ? stream : saros_check_stream(L);
}

saros_stream *saros_check_any(lua_State *L) {
    saros_stream *stream = saros_test(L, saros_state(L), 1, SAROS_T_LISTENER);
    return stream != NULL ? stream : check_connected(L);
}

int saros_closed(lua_State *L) { return saros_fail(L, SAROS_ECLOSED, "closed"); }

/* What was kept is sent, or is not. */
static int flushed_k(lua_State *L, int status, lua_KContext ctx) {
    (void)ctx;
    saros_stream_close(L, 1, lua_touserdata(L, 1));
    if (status != LUA_OK && status != LUA_YIELD) return lua_error(L);
    if (lua_isnil(L, 2)) return lua_gettop(L) - 1; /* as a file's close, it says that something was not written */
    lua_pushboolean(L, 1);
    return 1;
}

static int method_close(lua_State *L) {
    saros_stream     *stream = saros_check_any(L);
    const saros_task *task = saros_running_task(saros_state(L));
    if (stream->rt != NULL && saros_output_pending(stream->output) > 0 && task != NULL && task->at == L &&
        lua_isyieldable(L) && !saros_is_cancelled(task)) {
        lua_settop(L, 1);
        lua_getfield(L, 1, "flush");
        lua_pushvalue(L, 1);
        return flushed_k(L, lua_pcallk(L, 1, LUA_MULTRET, 0, 0, flushed_k), 0);
    }
    saros_stream_close(L, 1, stream);
    lua_pushboolean(L, 1);
    return 1;
}

/* Drops what was not sent, also what the kernel has, and lets the peer see a reset where there is such a thing. */
static int method_abort(lua_State *L) {
    saros_stream *stream = saros_check_stream(L);
    saros_setting setting = {.option = SAROS_OPTION_LINGER, .value = 0};
    if (stream->rt != NULL) {
        saros_socket_option(stream, &setting, false); /* what has no such option is just closed */
        stream->window.copies |= SAROS_ABORTS;
    }
    saros_stream_close(L, 1, stream);
    lua_pushboolean(L, 1);
    return 1;
}

static int close_protected(lua_State *L) {
    saros_stream_close(L, 1, lua_touserdata(L, 1));
    return 0;
}

/* Nobody waits on it any more. Without memory for the anchor it is closed while we wait: it must not be left open. */
static int method_gc(lua_State *L) {
    saros_stream *stream = saros_check_any(L);
    if (stream->rt == NULL) return 0;
    saros_debug_collected(L, stream->rt);
    lua_pushcfunction(L, close_protected);
    lua_pushvalue(L, 1);
    if (lua_pcall(L, 1, 0, 0) != LUA_OK) saros_stream_abandon(stream);
    return 0;
}

/* ---- addresses ------------------------------------------------------------------------------------------------ */

/* Reads the address at `at`: "host:port", "unix:/path", {host=, port=}, {path=}. Pushes its text. Raises, about argument
 * `arg`, on what can never be an address. 0, or the error of a name that leads nowhere. */
static int read_address(lua_State *L, saros_rt *rt, int at, int arg, saros_address *address) {
    const char *why = NULL, *host = NULL;
    size_t      length, host_length = 0;
    int         is;
    if (lua_istable(L, at)) {
        static const char *const names[] = {"host", "port", "path", NULL};
        saros_check_options(L, at, names);
        if (saros_option(L, at, "path") != LUA_TNIL) {
            if (lua_type(L, -1) != LUA_TSTRING) return luaL_argerror(L, arg, "field 'path': string expected");
            const char *path = lua_tolstring(L, -1, &length);
            is = saros_address_path(address, path, length, &why);
            lua_pushfstring(L, "unix:%s", path);
        } else {
            saros_option(L, at, "host");
            saros_option(L, at, "port");
            int         port_ok;
            lua_Integer port = lua_tointegerx(L, -1, &port_ok);
            if (!port_ok) return luaL_argerror(L, arg, "field 'port': integer expected");
            if (lua_isnil(L, -2)) lua_pushliteral(L, "*");
            else lua_pushvalue(L, -2);
            if (lua_type(L, -1) != LUA_TSTRING) return luaL_argerror(L, arg, "field 'host': string expected");
            host = lua_tolstring(L, -1, &host_length);
            is = saros_address_make(address, host, host_length, port < 0 || port > 65535 ? -1 : (int)port, &why);
            lua_pushfstring(L, strchr(host, ':') != NULL ? "[%s]:%I" : "%s:%I", host, port);
        }
    } else {
        const char *text = luaL_checklstring(L, at, &length);
        is = saros_address_parse(address, text, length, &host, &host_length, &why);
        lua_pushlstring(L, text, length);
    }
    if (is < 0) return luaL_argerror(L, arg, lua_pushfstring(L, "bad address '%s': %s", lua_tostring(L, -1), why));
    if (is != SAROS_IS_NAME) return 0;
    return rt->world != NULL ? rt->world->resolve(rt, host, host_length, address) : SAROS_ENOSYS;
}

int saros_read_address(lua_State *L, saros_rt *rt, int arg, saros_address *address) {
    return read_address(L, rt, arg, arg, address);
}

int saros_no_address(lua_State *L, int code, const char *op) {
    return saros_fail(L, code, "%s %s: %s", op, lua_tostring(L, -1),
                      code == SAROS_ENOSYS ? "a numeric address expected; saros.resolve looks names up"
                                           : saros_error_text(code));
}

void saros_leave_host(saros_rt *rt, const saros_task *task) {
    if (rt->world != NULL) rt->world->leave(rt, task);
}

static int push_name(lua_State *L, saros_stream *stream, bool peer) {
    char          text[SAROS_ADDRESS_TEXT];
    saros_address address;
    saros_op      op = {.kind = SAROS_OP_NAME, .handle = &stream->handle, .address = &address, .size = peer};
    if (stream->rt == NULL) return saros_closed(L);
    saros_submit_now(stream->rt->loop, &op); /* no driver has to wait for a name */
    if (op.result < 0)
        return saros_fail(L, (int)op.result, "%s: %s", peer ? "peer_address" : "local_address",
                          saros_error_text((int)op.result));
    lua_pushlstring(L, text, saros_address_format(&address, text));
    return 1;
}

static int method_local_address(lua_State *L) { return push_name(L, saros_check_any(L), false); }
static int method_peer_address(lua_State *L) { return push_name(L, check_connected(L), true); }

/* ---- options -------------------------------------------------------------------------------------------------- */

size_t saros_stream_limit(lua_State *L, int arg, const char *name, size_t otherwise) {
    int         ok;
    lua_Integer value = (lua_Integer)otherwise;
    if (!lua_istable(L, arg)) return otherwise;
    if (saros_option(L, arg, name) != LUA_TNIL) {
        value = lua_tointegerx(L, -1, &ok);
        if (!ok || value < 1)
            luaL_argerror(L, arg, lua_pushfstring(L, "option '%s': an integer above 0 expected", name));
    }
    lua_pop(L, 1);
    return (size_t)value;
}

/* ---- connect -------------------------------------------------------------------------------------------------- */

/* It is open, and closed where it cannot be made what was asked for. options: where they are; the stream is on top. */
static int opened(lua_State *L, saros_stream *stream, int options, const char *op, const char *address) {
    const char *which;
    int         error = saros_socket_options_set(L, options, stream, saros_stream_knows, &which);
    if (error == 0) return 1;
    saros_stream_close(L, -1, stream);
    return saros_fail(L, error, "%s %s: option '%s': %s", op, address, which, saros_error_text(error));
}

/* Stack: 1 options, 2 the address's text, 3 the address, 4 the stream. */
static int connect_k(lua_State *L, int status, lua_KContext ctx) {
    saros_stream *stream = lua_touserdata(L, 4);
    saros_task   *task = saros_resumed_raw(L);
    int64_t       result = task->op.result;
    (void)status, (void)ctx;
    if (stream->rt != NULL) saros_stream_unkeep(stream);
    if (result == SAROS_ECANCELED && saros_is_cancelled(task)) {
        saros_stream_unlink(stream);
        return saros_raise_cancelled(L, task);
    }
    if (result < 0 || stream->rt == NULL)
        return never_opened(L, stream, result < 0 ? (int)result : SAROS_ECLOSED, "connect", lua_tostring(L, 2));
    return lua_isnil(L, 1) ? 1 : opened(L, stream, 1, "connect", lua_tostring(L, 2));
}

/* The option bind: where the connection comes from. True: there is one. */
static bool read_bind(lua_State *L, saros_rt *rt, saros_address *address) {
    if (!lua_istable(L, 2) || saros_option(L, 2, "bind") == LUA_TNIL) return false;
    int at = lua_gettop(L);
    if (!lua_istable(L, at) && lua_type(L, at) != LUA_TSTRING) luaL_argerror(L, 2, "option 'bind': address expected");
    if (read_address(L, rt, at, 2, address) < 0) luaL_argerror(L, 2, "option 'bind': a numeric address expected");
    address->dual = false;
    return true;
}

/* Stack: 1 the address, 2 options; the address's text, which has a name in it, on top. */
static int connect_name(lua_State *L) {
    lua_replace(L, 1);
    lua_settop(L, 2);
    return saros_call_part(L, "_connect_name", NULL);
}

/* saros.connect(address, options) -> stream */
static int connect(lua_State *L) {
    static const char *const names[] = {"line_limit", "all_limit", "bind", SAROS_SOCKET_OPTION_NAMES, NULL};
    saros_address            address[2];
    saros_task              *task = saros_begin(L, "saros.connect");
    lua_settop(L, 2);
    bool tls = lua_istable(L, 2) && saros_option(L, 2, "tls") != LUA_TNIL;
    lua_settop(L, 2);
    if (tls) return saros_call_part(L, "tls", "_connect");
    saros_check_options(L, 2, names);
    saros_socket_options_check(L, 2, saros_stream_knows);
    size_t line_limit = saros_stream_limit(L, 2, "line_limit", SAROS_LINE_LIMIT);
    size_t all_limit = saros_stream_limit(L, 2, "all_limit", SAROS_ALL_LIMIT);
    bool   bound = read_bind(L, task->rt, &address[1]);
    lua_settop(L, 2);
    int code = read_address(L, task->rt, 1, 1, &address[0]);
    if (code == SAROS_ENOSYS && task->rt->world == NULL) return connect_name(L);
    if (code < 0) return saros_no_address(L, code, "connect");
    lua_replace(L, 1);
    lua_settop(L, 2);
    lua_insert(L, 1);
    size_t size = (bound ? 2 : 1) * sizeof *address;
    memcpy(lua_newuserdatauv(L, size, 0), address, size); /* the driver may read it while it connects */
    saros_stream *stream = saros_stream_new(L, task->rt, SAROS_T_STREAM, line_limit, all_limit);
    if (!saros_stream_keep(L, stream, 3)) { /* also when the coroutine is closed meanwhile */
        saros_stream_unlink(stream);
        return luaL_error(L, "not enough memory");
    }
    task->op.kind = SAROS_OP_CONNECT;
    task->op.handle = &stream->handle;
    task->op.address = lua_touserdata(L, 3);
    task->op.size = bound;
    saros_leave_host(task->rt, task);
    if (saros_submit_now(task->rt->loop, &task->op)) return saros_answer(L, task, connect_k(L, LUA_OK, 0));
    return saros_suspend(L, task, 0, connect_k);
}

/* ---- listen, accept ------------------------------------------------------------------------------------------- */

/* saros.listen(address, options) -> listener. Needs no task: nothing in it waits. */
static int listen(lua_State *L) {
    static const char *const names[] = {"backlog", "line_limit", "all_limit", "reuse_port",
                                        "v6only",  "replace",    "clean_up",  SAROS_SOCKET_OPTION_NAMES,
                                        NULL};
    saros_address            address;
    saros_rt                *rt = saros_loop_now(L, "saros.listen");
    lua_settop(L, 2);
    saros_check_options(L, 2, names);
    saros_socket_options_check(L, 2, saros_stream_knows);
    size_t backlog = saros_stream_limit(L, 2, "backlog", 0);
    size_t line_limit = saros_stream_limit(L, 2, "line_limit", SAROS_LINE_LIMIT);
    size_t all_limit = saros_stream_limit(L, 2, "all_limit", SAROS_ALL_LIMIT);
    int    flags = (saros_option_flag(L, 2, "reuse_port", false) ? SAROS_REUSE_PORT : 0) |
                (saros_option_flag(L, 2, "replace", false) ? SAROS_REPLACE : 0) |
                (saros_option_flag(L, 2, "clean_up", true) ? SAROS_CLEAN_UP : 0);
    int code = read_address(L, rt, 1, 1, &address);
    if (code < 0) return saros_no_address(L, code, "listen");
    address.bind = (uint16_t)flags;
    static const uint8_t any[16];
    if (address.family == SAROS_INET6 && memcmp(address.at.ip, any, sizeof any) == 0)
        address.dual = !saros_option_flag(L, 2, "v6only", !address.dual);
    saros_stream *stream = saros_stream_new(L, rt, SAROS_T_LISTENER, line_limit, all_limit); /* for what it accepts */
    saros_op      op = {.kind = SAROS_OP_LISTEN, .handle = &stream->handle, .address = &address, .size = backlog};
    saros_leave_host(rt, rt->task);
    saros_submit_now(rt->loop, &op); /* no driver has to wait for a listener */
    if (op.result < 0) return never_opened(L, stream, (int)op.result, "listen", lua_tostring(L, -2));
    return lua_isnil(L, 2) ? 1 : opened(L, stream, 2, "listen", lua_tostring(L, -2));
}

/* Stack: 1 the listener, 2 the stream to be. */
static int accept_k(lua_State *L, int status, lua_KContext ctx) {
    saros_stream *stream = lua_touserdata(L, 2);
    saros_task   *task = saros_resumed_raw(L);
    int           result = (int)task->op.result;
    (void)status, (void)ctx;
    if (L != task->co) saros_drop(task->rt, stream);
    if (result >= 0 && stream->rt != NULL) return 1;
    if (stream->rt != NULL) saros_stream_unlink(stream);
    if (result == SAROS_ECANCELED && saros_is_cancelled(task)) return saros_raise_cancelled(L, task);
    if (result >= 0 || result == SAROS_ECLOSED) return saros_closed(L);
    return saros_fail(L, result, "accept: %s", saros_error_text(result));
}

void saros_net_forget(saros_task *task) {
    if (task->op.kind != SAROS_OP_ACCEPT) return;
    saros_stream *stream = (saros_stream *)((char *)task->op.accepted - offsetof(saros_stream, handle));
    if (stream->rt == NULL) return;
    if (task->op.result >= 0) { /* it is anchored already, until that is told */
        begin_close(stream);
        return;
    }
    saros_stream_unlink(stream);
    saros_drop(task->rt, stream);
}

static int method_accept(lua_State *L) {
    saros_stream *listener = saros_check(L, 1, SAROS_T_LISTENER);
    saros_task   *task = saros_begin(L, "listener:accept");
    if (listener->rt == NULL) return saros_closed(L);
    if (listener->rt != task->rt) return luaL_error(L, "listener:accept: the listener belongs to another loop");
    lua_settop(L, 1);
    saros_stream *stream =
        saros_stream_new(L, task->rt, SAROS_T_STREAM, listener->window.line_limit, listener->window.all_limit);
    if (L != task->co) { /* this coroutine may be closed, and collected, while the driver writes to the stream */
        lua_pushvalue(L, 2);
        saros_anchor(L, task->rt, stream);
    }
    task->op.kind = SAROS_OP_ACCEPT;
    task->op.handle = &listener->handle;
    task->op.accepted = &stream->handle;
    if (saros_submit_now(task->rt->loop, &task->op)) return saros_answer(L, task, accept_k(L, LUA_OK, 0));
    return saros_suspend(L, task, 0, accept_k);
}

/* ---- the module's part ---------------------------------------------------------------------------------------- */

static int any_tostring(lua_State *L) {
    saros_stream *stream = saros_check_any(L);
    luaL_getmetafield(L, 1, "__name");
    lua_pushfstring(L, "%s%s: %p", lua_tostring(L, -1), stream->rt == NULL ? " (closed)" : "", (void *)stream);
    return 1;
}

const luaL_Reg saros_any_methods[] = {{"close", method_close},
                                      {"local_address", method_local_address},
                                      {"peer_address", method_peer_address},
                                      {NULL, NULL}};
const luaL_Reg saros_any_meta[] = {
    {"__gc", method_gc}, {"__close", method_close}, {"__tostring", any_tostring}, {NULL, NULL}};

static int method_socket_option(lua_State *L) { return saros_method_option(L, saros_check_any(L)); }

void saros_open_net(lua_State *L) {
    static const luaL_Reg listener[] = {{"accept", method_accept},
                                        {"option", method_socket_option},
                                        {"address", method_local_address},
                                        {"close", method_close},
                                        {NULL, NULL}};
    static const luaL_Reg stream[] = {{"abort", method_abort}, {"option", method_socket_option}, {NULL, NULL}};
    static const luaL_Reg functions[] = {{"connect", connect}, {"listen", listen}, {NULL, NULL}};
    saros_type_make(L, SAROS_T_LISTENER, "saros.listener", listener, saros_any_meta);
    saros_type_make(L, SAROS_T_STREAM, "saros.stream", saros_any_methods, saros_any_meta);
    saros_type_extend(L, SAROS_T_STREAM, stream);
    saros_type_extend(L, SAROS_T_STREAM, saros_read_methods);
    saros_type_extend(L, SAROS_T_STREAM, saros_write_methods);
    saros_type_extend(L, SAROS_T_STREAM, saros_tls_methods);
    saros_type_extend(L, SAROS_T_STREAM, saros_sendfile_methods);
    saros_add(L, functions);
    saros_add(L, saros_given_functions);
    saros_add(L, saros_option_functions);
}
