/* descriptors.c: a Lua module for specs: what the system does with descriptors, past any loop. POSIX only. */
#include <errno.h>
#include <fcntl.h>
#include <lauxlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static int failed(lua_State *L) {
    lua_pushnil(L);
    lua_pushstring(L, strerror(errno));
    return 2;
}

static int two(lua_State *L, int error, const int fds[2]) {
    if (error < 0) return failed(L);
    for (int i = 0; i < 2; i++) fcntl(fds[i], F_SETFD, FD_CLOEXEC);
    lua_pushinteger(L, fds[0]);
    lua_pushinteger(L, fds[1]);
    return 2;
}

/* pipe() -> reading end, writing end */
static int make_pipe(lua_State *L) {
    int fds[2];
    return two(L, pipe(fds), fds);
}

/* socketpair([type]) -> two */
static int make_sockets(lua_State *L) {
    static const char *const names[] = {"stream", "datagram", NULL};
    static const int         types[] = {SOCK_STREAM, SOCK_DGRAM};
    int                      fds[2], type = luaL_checkoption(L, 1, "stream", names);
    return two(L, socketpair(AF_UNIX, types[type], 0, fds), fds);
}

static int number(lua_State *L, int fd) {
    if (fd < 0) return failed(L);
    lua_pushinteger(L, fd);
    return 1;
}

/* open(path) -> one for reading and, where that may be, writing */
static int open_file(lua_State *L) {
    const char *path = luaL_checkstring(L, 1);
    int         fd = open(path, O_RDWR | O_CLOEXEC | O_NOCTTY);
    if (fd < 0) fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    return number(L, fd);
}

/* copy(fd[, lowest]) -> another number of it */
static int copy(lua_State *L) {
    return number(L, fcntl((int)luaL_checkinteger(L, 1), F_DUPFD_CLOEXEC, (int)luaL_optinteger(L, 2, 0)));
}

static int close_one(lua_State *L) {
    lua_pushboolean(L, close((int)luaL_checkinteger(L, 1)) == 0);
    return 1;
}

/* is_open(fd) */
static int is_open(lua_State *L) {
    lua_pushboolean(L, fcntl((int)luaL_checkinteger(L, 1), F_GETFD) >= 0);
    return 1;
}

/* waits(fd): would a call on it block? */
static int waits(lua_State *L) {
    lua_pushboolean(L, !(fcntl((int)luaL_checkinteger(L, 1), F_GETFL) & O_NONBLOCK));
    return 1;
}

/* read(fd, n) -> up to n bytes, "" at the end */
static int read_some(lua_State *L) {
    luaL_Buffer buffer;
    size_t      size = (size_t)luaL_checkinteger(L, 2);
    ssize_t     got = read((int)luaL_checkinteger(L, 1), luaL_buffinitsize(L, &buffer, size), size);
    if (got < 0) return failed(L);
    luaL_pushresultsize(&buffer, (size_t)got);
    return 1;
}

/* write(fd, text) -> bytes */
static int write_some(lua_State *L) {
    size_t      size;
    const char *text = luaL_checklstring(L, 2, &size);
    ssize_t     sent = write((int)luaL_checkinteger(L, 1), text, size);
    if (sent < 0) return failed(L);
    lua_pushinteger(L, sent);
    return 1;
}

int                                        luaopen_descriptors(lua_State *L);
__attribute__((visibility("default"))) int luaopen_descriptors(lua_State *L) {
    static const luaL_Reg functions[] = {{"pipe", make_pipe}, {"socketpair", make_sockets}, {"open", open_file},
                                         {"copy", copy},      {"close", close_one},         {"is_open", is_open},
                                         {"waits", waits},    {"read", read_some},          {"write", write_some},
                                         {NULL, NULL}};
    luaL_newlib(L, functions);
    return 1;
}
