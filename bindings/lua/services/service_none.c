/* service_none.c: no services: this build has no libuv. */
#include "bindings/lua/services/names.h"
#include "bindings/lua/services/stdio.h"
#include "bindings/lua/streams/stream.h"

int saros_lookup(lua_State *L, saros_task *task, const char *service, int port, int family) {
    (void)task, (void)service, (void)port, (void)family;
    return saros_fail(L, SAROS_ENOSYS, "resolve %s: this build of Saros has no libuv, which looks names up",
                      lua_tostring(L, 1));
}

void saros_open_lookup(lua_State *L) { (void)L; }

static int no_files(lua_State *L) {
    return saros_fail(L, SAROS_ENOSYS, "files: this build of Saros has no libuv, which reads and writes them");
}

void saros_open_files(lua_State *L) {
    static const luaL_Reg functions[] = {{"open", no_files}, {"_fs_temporary", no_files}, {NULL, NULL}};
    saros_add(L, functions);
}

bool saros_push_stdin_file(lua_State *L, saros_rt *rt) {
    (void)L, (void)rt;
    return false;
}

/* Whatever is asked of saros.fs. */
static int fs_index(lua_State *L) {
    lua_pushcfunction(L, no_files);
    return 1;
}

void saros_open_fs(lua_State *L) {
    lua_newtable(L);
    lua_newtable(L);
    lua_pushcfunction(L, fs_index);
    lua_setfield(L, -2, "__index");
    lua_setmetatable(L, -2);
    lua_setfield(L, -2, "_fs");
}

static int method_sendfile(lua_State *L) {
    saros_check_stream(L);
    return no_files(L);
}

const luaL_Reg saros_sendfile_methods[] = {{"sendfile", method_sendfile}, {NULL, NULL}};

int saros_sendfile_run(lua_State *L, saros_stream *stream, saros_task *task) {
    (void)stream, (void)task;
    return no_files(L);
}

bool saros_sendfile_can(const saros_file *file) {
    (void)file;
    return false;
}

int saros_sendfile(lua_State *L, const char *what, int64_t offset, int64_t size) {
    (void)what, (void)offset, (void)size;
    return no_files(L);
}

void saros_files_forget(saros_task *task) { (void)task; }

bool saros_file_is_open(const saros_file *file) {
    (void)file;
    return false;
}

void saros_service_close(saros_rt *rt) { (void)rt; }
