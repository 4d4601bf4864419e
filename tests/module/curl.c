/* curl.c: a Lua module for specs: libcurl's multi interface on the loop that the script runs on.
 *
 * libcurl says which sockets it wants to know about and when it wants to be called; it does the rest itself. So this is
 * how a C library with descriptors of its own joins a loop: each socket is borrowed and polled, one timer op is its clock,
 * and the task that called curl.get waits for a future. Everything is on the loop's thread. */
#include <curl/curl.h>
#include <lauxlib.h>
#include <stdlib.h>
#include <string.h>

#include <saros/saros_lua.h>

typedef struct watched watched;

typedef struct multi {
    saros_guest guest;
    saros_loop *loop; /* NULL: it has closed */
    CURLM      *curl;
    saros_op    timer;
    saros_time  due; /* 0: curl does not want to be called */
    watched    *sockets;
} multi;

/* A socket that curl watches: its own, and only borrowed. */
struct watched {
    watched      *next, *prev;
    saros_handle  handle;
    saros_op      poll, close;
    multi        *of;
    curl_socket_t fd;
    unsigned      wanted;
    bool          removed; /* its close has begun, and frees this */
};

/* A download: the userdata on the stack of the task that waits for it. */
typedef struct transfer {
    multi        *of;
    CURL         *easy;
    saros_future *future; /* NULL: told */
    CURLcode      result;
    char         *body;
    size_t        size;
} transfer;

/* ---- what curl has finished ------------------------------------------------------------------------------------- */

static void look(multi *self) {
    const CURLMsg *message;
    int            left;
    while ((message = curl_multi_info_read(self->curl, &left)) != NULL) {
        transfer *of;
        if (message->msg != CURLMSG_DONE) continue;
        curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, (char **)&of);
        of->result = message->data.result;
        curl_multi_remove_handle(self->curl, of->easy);
        saros_future_complete(of->future, 0, NULL, NULL, NULL);
        of->future = NULL;
    }
}

static void act(multi *self, curl_socket_t fd, int events) {
    int running;
    curl_multi_socket_action(self->curl, fd, events, &running);
    look(self);
}

/* ---- sockets ---------------------------------------------------------------------------------------------------- */

static void poll_again(watched *self) {
    if (self->removed || self->poll.state != SAROS_IDLE) return;
    self->poll.kind = SAROS_OP_POLL;
    self->poll.size = self->wanted;
    saros_submit(self->of->loop, &self->poll);
}

static void polled(saros_loop *loop, saros_op *op, int64_t result) {
    watched *self = (watched *)((char *)op - offsetof(watched, poll));
    (void)loop;
    if (self->removed) return;
    int events = result < 0 ? CURL_CSELECT_ERR : 0;
    if (result > 0 && (result & SAROS_READABLE)) events |= CURL_CSELECT_IN;
    if (result > 0 && (result & SAROS_WRITABLE)) events |= CURL_CSELECT_OUT;
    if (result != SAROS_ECANCELED) act(self->of, self->fd, events); /* that was a change of what is wanted */
    poll_again(self);
}

static void forget(watched *self) {
    if (self->prev != NULL) self->prev->next = self->next;
    else self->of->sockets = self->next;
    if (self->next != NULL) self->next->prev = self->prev;
    free(self);
}

static void closed(saros_loop *loop, saros_op *op, int64_t result) {
    (void)loop, (void)result;
    forget((watched *)((char *)op - offsetof(watched, close)));
}

static watched *watch(multi *self, curl_socket_t fd) {
    watched *w = calloc(1, sizeof *w);
    saros_op op = {.kind = SAROS_OP_BORROW, .handle = &w->handle, .size = (size_t)fd};
    saros_submit_now(self->loop, &op);
    if (op.result < 0) {
        free(w);
        return NULL;
    }
    w->of = self;
    w->fd = fd;
    w->poll = (saros_op){.handle = &w->handle, .done = polled};
    w->next = self->sockets;
    if (w->next != NULL) w->next->prev = w;
    self->sockets = w;
    curl_multi_assign(self->curl, fd, w);
    return w;
}

/* curl closes the socket when this has returned, so it is given back first. */
static void unwatch(watched *self) {
    self->removed = true;
    self->close = (saros_op){.kind = SAROS_OP_CLOSE, .handle = &self->handle, .done = closed};
    saros_submit(self->of->loop, &self->close);
}

static int on_socket(CURL *easy, curl_socket_t fd, int what, void *user, void *per_socket) {
    multi   *self = user;
    watched *w = per_socket;
    (void)easy;
    if (self->loop == NULL) return 0;
    if (what == CURL_POLL_REMOVE) {
        if (w != NULL) unwatch(w);
        return 0;
    }
    if (w == NULL) w = watch(self, fd);
    if (w == NULL) return -1;
    w->wanted = 0;
    if (what & CURL_POLL_IN) w->wanted |= SAROS_READABLE;
    if (what & CURL_POLL_OUT) w->wanted |= SAROS_WRITABLE;
    if (w->poll.state == SAROS_IDLE) poll_again(w);
    else if (w->poll.size != w->wanted) saros_cancel(self->loop, &w->poll); /* polled starts it anew */
    return 0;
}

/* ---- time ------------------------------------------------------------------------------------------------------- */

static void timed(saros_loop *loop, saros_op *op, int64_t result) {
    multi *self = (multi *)((char *)op - offsetof(multi, timer));
    if (self->due == 0 || result < 0) return;
    if (self->due > saros_now(loop)) { /* it was set anew after it had come */
        saros_timer(loop, op, self->due);
        return;
    }
    self->due = 0;
    act(self, CURL_SOCKET_TIMEOUT, 0);
}

static int on_time(CURLM *curl, long milliseconds, void *user) {
    multi *self = user;
    (void)curl;
    if (self->loop == NULL) return 0;
    self->due = milliseconds < 0 ? 0 : saros_now(self->loop) + milliseconds * INT64_C(1000000);
    if (saros_timer_stop(self->loop, &self->timer) && self->due != 0)
        return saros_timer(self->loop, &self->timer, self->due) == 0 ? 0 : -1;
    return 0;
}

/* ---- one for each loop ------------------------------------------------------------------------------------------ */

/* Every easy handle has gone: its transfer stood on the stack of a task, and no task lives. */
static void loop_closes(saros_guest *guest, saros_loop *loop) {
    multi *self = (multi *)guest;
    curl_multi_cleanup(self->curl);
    for (watched *w = self->sockets, *next; w != NULL; w = next) {
        next = w->next;
        if (!w->removed) unwatch(w);
        saros_abandon(loop, &w->poll);
        saros_abandon(loop, &w->close);
        free(w);
    }
    self->sockets = NULL;
    saros_abandon(loop, &self->timer);
    self->loop = NULL;
}

static int multi_gc(lua_State *L) {
    multi *self = lua_touserdata(L, 1);
    if (self->loop == NULL) return 0;
    saros_leave(self->loop, &self->guest);
    loop_closes(&self->guest, self->loop);
    return 0;
}

static multi *multi_of(lua_State *L) {
    saros_loop *loop = saros_lua_loop(L);
    if (loop == NULL) luaL_error(L, "curl: no loop is running");
    if (lua_rawgetp(L, lua_upvalueindex(1), loop) == LUA_TUSERDATA) {
        multi *there = lua_touserdata(L, -1);
        if (there->loop == loop) return there;
    }
    multi *self = lua_newuserdatauv(L, sizeof *self, 0);
    *self = (multi){.loop = loop, .guest = {.closing = loop_closes}, .timer = {.done = timed, .background = 1}};
    self->curl = curl_multi_init();
    curl_multi_setopt(self->curl, CURLMOPT_SOCKETFUNCTION, on_socket);
    curl_multi_setopt(self->curl, CURLMOPT_SOCKETDATA, self);
    curl_multi_setopt(self->curl, CURLMOPT_TIMERFUNCTION, on_time);
    curl_multi_setopt(self->curl, CURLMOPT_TIMERDATA, self);
    saros_join(loop, &self->guest);
    lua_createtable(L, 0, 1);
    lua_pushcfunction(L, multi_gc);
    lua_setfield(L, -2, "__gc");
    lua_setmetatable(L, -2);
    lua_pushvalue(L, -1);
    lua_rawsetp(L, lua_upvalueindex(1), loop);
    return self;
}

/* ---- downloads -------------------------------------------------------------------------------------------------- */

static size_t on_data(const char *bytes, size_t one, size_t size, void *user) {
    transfer *self = user;
    char     *body = realloc(self->body, self->size + size * one);
    if (body == NULL) return 0;
    memcpy(body + self->size, bytes, size * one);
    self->body = body;
    self->size += size * one;
    return size * one;
}

/* Also where the task is cancelled: then the download ends here, and nobody hears of it. */
static int transfer_close(lua_State *L) {
    transfer *self = lua_touserdata(L, 1);
    if (self->easy != NULL) {
        if (self->future != NULL) {
            curl_multi_remove_handle(self->of->curl, self->easy);
            saros_future_complete(self->future, SAROS_ECANCELED, NULL, NULL, NULL);
        }
        curl_easy_cleanup(self->easy);
    }
    free(self->body);
    *self = (transfer){.of = self->of};
    return 0;
}

/* Stack: 1 the URL, 2 the transfer. */
static int got(lua_State *L, int status, lua_KContext ctx) {
    const transfer *self = lua_touserdata(L, 2);
    long            code = 0;
    (void)status, (void)ctx;
    if (self->result != CURLE_OK) {
        lua_pushnil(L);
        lua_pushstring(L, curl_easy_strerror(self->result));
        return 2;
    }
    curl_easy_getinfo(self->easy, CURLINFO_RESPONSE_CODE, &code);
    lua_pushlstring(L, self->body, self->size);
    lua_pushinteger(L, code);
    return 2;
}

/* get(url) -> body, status; or nil, message. Waits. */
static int get(lua_State *L) {
    const char *url = luaL_checkstring(L, 1);
    lua_settop(L, 1);
    transfer *self = lua_newuserdatauv(L, sizeof *self, 1);
    *self = (transfer){.of = NULL};
    luaL_setmetatable(L, "curl.transfer");
    lua_toclose(L, 2);
    self->of = multi_of(L);
    lua_setiuservalue(L, 2, 1);
    lua_settop(L, 2);
    self->easy = curl_easy_init();
    curl_easy_setopt(self->easy, CURLOPT_URL, url);
    curl_easy_setopt(self->easy, CURLOPT_PRIVATE, self);
    curl_easy_setopt(self->easy, CURLOPT_WRITEFUNCTION, on_data);
    curl_easy_setopt(self->easy, CURLOPT_WRITEDATA, self);
    curl_easy_setopt(self->easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(self->easy, CURLOPT_PROXY, "");
    curl_easy_setopt(self->easy, CURLOPT_FORBID_REUSE, 1L); /* a cached connection would look like a leak */
    saros_future *future = self->future = saros_future_new(self->of->loop);
    if (future == NULL) return luaL_error(L, "not enough memory");
    curl_multi_add_handle(self->of->curl, self->easy);
    return saros_lua_await(L, future, 0, got);
}

/* watched() -> sockets that curl has the loop watch now */
static int count(lua_State *L) {
    lua_Integer sockets = 0;
    for (const watched *w = multi_of(L)->sockets; w != NULL; w = w->next) sockets++;
    lua_pushinteger(L, sockets);
    return 1;
}

int                                        luaopen_curl(lua_State *L);
__attribute__((visibility("default"))) int luaopen_curl(lua_State *L) {
    static const luaL_Reg functions[] = {{"get", get}, {"watched", count}, {NULL, NULL}};
    curl_global_init(CURL_GLOBAL_DEFAULT);
    luaL_newmetatable(L, "curl.transfer");
    lua_pushcfunction(L, transfer_close);
    lua_setfield(L, -2, "__close");
    lua_pushcfunction(L, transfer_close);
    lua_setfield(L, -2, "__gc");
    luaL_newlibtable(L, functions);
    lua_newtable(L); /* multis, by their loop's address */
    luaL_setfuncs(L, functions, 1);
    return 1;
}
