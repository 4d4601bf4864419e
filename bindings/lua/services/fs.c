/* fs.c: saros.fs: what can be asked of a file system, and done to it, by name; one call of libuv's each.
 *
 * The functions here are in a table saros._fs, to which saros/fs.lua adds what is made of several of them. Promises: an
 * error names the function, the paths and the code; what a name cannot be is an argument error; whoever is cancelled goes
 * on at once, and what was begun is done all the same; but nothing temporary is left whose name nobody knows. */
#include <stdlib.h>
#include <string.h>

#include "bindings/lua/services/service_fs.h"

// clang-format off
/* X(libuv's name, ours, arguments, what is given): p a path, m a mode, M one that must be given, t a time, f flags */
#define CALLS(X)                                                                                                  \
    X(stat, "stat", "p", STATUS) X(lstat, "lstat", "p", STATUS) X(scandir, "list", "p", LIST)                     \
    X(mkdir, "mkdir", "pm", DONE) X(rmdir, "remove", "p", DONE) X(unlink, "remove", "p", DONE)                    \
    X(rename, "rename", "pp", DONE) X(copyfile, "copy", "ppf", DONE) X(chmod, "chmod", "pM", DONE)                \
    X(symlink, "symlink", "ppf", DONE) X(link, "link", "pp", DONE) X(readlink, "readlink", "p", TEXT)             \
    X(realpath, "realpath", "p", TEXT) X(utime, "utime", "ptt", DONE) X(mkdtemp, "temp_dir", "p", PATH)
// clang-format on

enum given { DONE, STATUS, LIST, TEXT, PATH };
enum {
#define NUMBER(name, shown, arguments, given) CALL_##name,
    CALLS(NUMBER)
#undef NUMBER
        CALL_COUNT
};

static const struct {
    const char *name, *shown, *arguments;
    enum given  given;
} calls[] = {
#define ROW(name, shown, arguments, given) {#name, shown, arguments, given},
    CALLS(ROW)
#undef ROW
};

typedef struct work {
    saros_fs_job fs; /* first */
    int          number;
    const char  *paths[2]; /* on the stack, and in the user values */
    int          flags;
    double       times[2];
    uv_stat_t    status;
    char        *text; /* malloc's: what it has given; of a list all entries, each a kind, a name and a zero */
    size_t       size, room;
} work;

/* ---- the service's thread --------------------------------------------------------------------------------------- */

static int call(const saros_libuv *uv, uv_loop_t *loop, saros_fs_job *job, uv_fs_cb cb) {
    work       *self = (work *)(void *)job;
    uv_fs_t    *request = &job->request;
    const char *path = self->paths[0], *other = self->paths[1];
    switch (self->number) {
    case CALL_stat: return uv->fs_stat(loop, request, path, cb);
    case CALL_lstat: return uv->fs_lstat(loop, request, path, cb);
    case CALL_scandir: return uv->fs_scandir(loop, request, path, 0, cb);
    case CALL_mkdir: return uv->fs_mkdir(loop, request, path, self->flags, cb);
    case CALL_rmdir: return uv->fs_rmdir(loop, request, path, cb);
    case CALL_unlink: return uv->fs_unlink(loop, request, path, cb);
    case CALL_rename: return uv->fs_rename(loop, request, path, other, cb);
    case CALL_copyfile: return uv->fs_copyfile(loop, request, path, other, self->flags, cb);
    case CALL_chmod: return uv->fs_chmod(loop, request, path, self->flags, cb);
    case CALL_symlink: return uv->fs_symlink(loop, request, path, other, self->flags, cb);
    case CALL_link: return uv->fs_link(loop, request, path, other, cb);
    case CALL_readlink: return uv->fs_readlink(loop, request, path, cb);
    case CALL_realpath: return uv->fs_realpath(loop, request, path, cb);
    case CALL_utime: return uv->fs_utime(loop, request, path, self->times[0], self->times[1], cb);
    default: return uv->fs_mkdtemp(loop, request, path, cb);
    }
}

/* Keeps a piece of text behind what is there. */
static bool keep(work *self, const char *text, size_t size) {
    if (self->size + size > self->room) {
        size_t room = (self->size + size) * 2;
        char  *all = realloc(self->text, room);
        if (all == NULL) return false;
        self->text = all;
        self->room = room;
    }
    memcpy(self->text + self->size, text, size);
    self->size += size;
    return true;
}

/* In the order of the names, but on Windows, where they come as the volume has them. */
static bool list(const saros_libuv *uv, work *self) {
    uv_dirent_t entry;
    bool        kept = true;
    while (kept && uv->fs_scandir_next(&self->fs.request, &entry) == 0) {
        char kind = (char)('0' + (int)entry.type);
        kept = keep(self, &kind, 1) && keep(self, entry.name, strlen(entry.name) + 1);
    }
    return kept;
}

static bool after(const saros_libuv *uv, saros_fs_job *job, ssize_t result) {
    work    *self = (work *)(void *)job;
    uv_fs_t *request = &job->request;
    bool     kept = true;
    if (result < 0) {
        job->error = saros_error_from_uv((int)result);
        return false;
    }
    switch (calls[self->number].given) {
    case DONE: break;
    case STATUS: self->status = request->statbuf; break;
    case LIST: kept = list(uv, self); break;
    case TEXT: kept = keep(self, request->ptr, strlen((const char *)request->ptr) + 1); break;
    case PATH: kept = keep(self, request->path, strlen(request->path) + 1); break;
    }
    if (!kept) job->error = SAROS_ENOMEM;
    return false;
}

/* A temporary folder whose name nobody gets goes as if it had not been made: at once, it is empty. */
static bool told(saros_job *job) {
    const work        *self = (work *)(void *)job;
    const saros_libuv *uv = saros_service_uv(job->rt->service);
    uv_fs_t            request;
    if (!job->given_up || self->number != CALL_mkdtemp || self->size == 0) return false;
    uv->fs_rmdir(NULL, &request, self->text, NULL);
    uv->fs_req_cleanup(&request);
    return false;
}

/* ---- what it gives ---------------------------------------------------------------------------------------------- */

static void set_integer(lua_State *L, const char *name, uint64_t value) {
    lua_pushinteger(L, (lua_Integer)value);
    lua_setfield(L, -2, name);
}

static void set_time(lua_State *L, const char *name, const uv_timespec_t *time) {
    lua_pushnumber(L, (lua_Number)time->tv_sec + (lua_Number)time->tv_nsec / 1e9);
    lua_setfield(L, -2, name);
}

static void push_status(lua_State *L, const uv_stat_t *status) {
    lua_createtable(L, 0, 13);
    lua_pushstring(L, saros_fs_kind((unsigned)status->st_mode));
    lua_setfield(L, -2, "kind");
    set_integer(L, "size", status->st_size);
    set_integer(L, "mode", status->st_mode & 07777);
    set_integer(L, "user", status->st_uid);
    set_integer(L, "group", status->st_gid);
    set_integer(L, "device", status->st_dev);
    set_integer(L, "inode", status->st_ino);
    set_integer(L, "links", status->st_nlink);
    set_time(L, "accessed", &status->st_atim);
    set_time(L, "modified", &status->st_mtim);
    set_time(L, "changed", &status->st_ctim);
    set_time(L, "created", &status->st_birthtim);
}

/* Two tables: the names in order, and the kind of each. */
static void push_list(lua_State *L, const work *self) {
    static const char *const kinds[] = {
        [UV_DIRENT_UNKNOWN] = "unknown", [UV_DIRENT_FILE] = "file",  [UV_DIRENT_DIR] = "directory",
        [UV_DIRENT_LINK] = "link",       [UV_DIRENT_FIFO] = "fifo",  [UV_DIRENT_SOCKET] = "socket",
        [UV_DIRENT_CHAR] = "char",       [UV_DIRENT_BLOCK] = "block"};
    lua_newtable(L);
    lua_newtable(L);
    lua_Integer count = 0;
    for (const char *at = self->text, *end = at + self->size; at != end; at += strlen(at) + 1) {
        lua_pushstring(L, at + 1);
        lua_pushvalue(L, -1);
        lua_rawseti(L, -4, ++count);
        lua_pushstring(L, kinds[*at - '0']);
        lua_rawset(L, -3);
    }
}

static int failed(lua_State *L, const work *self, int error) {
    const char *name = calls[self->number].shown;
    lua_pushnil(L);
    if (self->paths[1] == NULL) lua_pushfstring(L, "%s %s: %s", name, self->paths[0], saros_error_text(error));
    else lua_pushfstring(L, "%s %s, %s: %s", name, self->paths[0], self->paths[1], saros_error_text(error));
    lua_pushstring(L, saros_error_name(error));
    return 3;
}

/* Stack: 1 to 3 the arguments, 4 the work. */
static int call_k(lua_State *L, int status, lua_KContext ctx) {
    int   error = saros_job_resumed(L, 4);
    work *self = lua_touserdata(L, 4);
    (void)status, (void)ctx;
    if (error < 0) return failed(L, self, error);
    switch (calls[self->number].given) {
    case DONE: lua_pushboolean(L, 1); break;
    case STATUS: push_status(L, &self->status); break;
    case LIST: push_list(L, self); return 2;
    default: lua_pushstring(L, self->text); break;
    }
    return 1;
}

/* ---- arguments -------------------------------------------------------------------------------------------------- */

const char *saros_fs_check_path(lua_State *L, int arg) {
    size_t      length;
    const char *path = luaL_checklstring(L, arg, &length);
    luaL_argcheck(L, length > 0 && strlen(path) == length, arg, "a path without zeros in it expected");
    return path;
}

/* Every function of the table; upvalue 2: its number. */
static int any_call(lua_State *L) {
    int         number = (int)lua_tointeger(L, lua_upvalueindex(2)), paths = 0, times = 0, flags = 0;
    const char *path[2] = {NULL, NULL}, *arguments = calls[number].arguments;
    double      time[2] = {0, 0};
    lua_Integer mode;
    lua_settop(L, 3);
    for (int arg = 1; arguments[arg - 1] != 0; arg++) {
        switch (arguments[arg - 1]) {
        case 't': time[times++] = luaL_checknumber(L, arg); break;
        case 'M': luaL_checkinteger(L, arg); /* fall through */
        case 'm':
            mode = luaL_optinteger(L, arg, 0777);
            luaL_argcheck(L, mode >= 0 && mode <= 07777, arg, "a mode from 0 to 07777 (octal) expected");
            flags = (int)mode;
            break;
        case 'f': flags = (int)luaL_optinteger(L, arg, 0); break;
        default: path[paths++] = saros_fs_check_path(L, arg); break;
        }
    }
    saros_task *task = saros_begin(L, calls[number].shown);
    work       *self = saros_new(L, saros_state(L), SAROS_T_FS_WORK, sizeof *self, 2);
    saros_fs_prepare(&self->fs);
    self->fs.call = call;
    self->fs.after = after;
    self->fs.job.told = told;
    self->number = number;
    self->flags = flags;
    for (int i = 0; i < 2; i++) { /* the strings stay while the service reads them */
        self->paths[i] = path[i];
        self->times[i] = time[i];
        lua_pushvalue(L, i + 1);
        lua_setiuservalue(L, 4, i + 1);
    }
    return saros_job_await(L, task, 4, calls[number].shown, call_k);
}

static int gc(lua_State *L) {
    work *self = saros_check(L, 1, SAROS_T_FS_WORK);
    free(self->text);
    self->text = NULL;
    self->size = 0;
    return 0;
}

void saros_open_fs(lua_State *L) {
    static const luaL_Reg meta[] = {{"__gc", gc}, {NULL, NULL}};
    saros_type_make(L, SAROS_T_FS_WORK, "saros.fs.work", NULL, meta);
    lua_createtable(L, 0, CALL_COUNT + 8);
    for (int number = 0; number < CALL_COUNT; number++) {
        lua_pushlightuserdata(L, saros_state_slow(L));
        lua_pushinteger(L, number);
        lua_pushcclosure(L, any_call, 2);
        lua_setfield(L, -2, calls[number].name);
    }
    saros_open_fs_watch(L); /* into this table */
    lua_setfield(L, -2, "_fs");
}
