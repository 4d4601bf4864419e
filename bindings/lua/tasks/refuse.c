/* refuse.c: why an await is not possible where it stands, in words that help.
 *
 * An await leaves all functions between it and the loop, and comes back to them. Lua's own can be left that way, and most
 * of its C functions cannot: which one is in the way is looked for on the stack, from the inside out.
 *
 * Promises: the message names the function, as the script calls it, and says what to do instead. */
#include <string.h>

#include "bindings/lua/tasks/task.h"

/* ---- what to do about it ---------------------------------------------------------------------------------------- */

static const char finalizer[] = "__gc", hook[] = "debug hook";

static const char *const advices[][2] = {
    {"table.sort", "await what the order depends on before you sort"},
    {"string.gsub", "collect what is found with string.gmatch, await, then replace"},
    {"require", "call saros.install(), which brings a require that can be"},
    {"tostring", "await before, and let __tostring only give the text"},
    {"string.format", "await before, and let __tostring only give the text"},
    {"print", "await before, and let __tostring only give the text"},
    {"table.concat", "await what the elements are made of before"},
    {"load", "await the pieces first, and give them to load as one text"},
    {"for iterator", "if it is that of ipairs, count with a numeric for: an index may await there"},
    {"xpcall", "await after it has returned, and not in its handler"},
    {finalizer, "spawn a task in it that does the rest"},
    {hook, "note what has happened, and let a task await"},
    {NULL, "await before, and give it the result"}};

static const char *advice(const char *name) {
    size_t i = 0;
    while (advices[i][0] != NULL && strcmp(advices[i][0], name) != 0) i++;
    return advices[i][1];
}

/* ---- who is in the way ------------------------------------------------------------------------------------------ */

/* The name under which the function on top (popped) is known in Lua's library or ours: "table.sort". Pushes it; NULL and
 * nothing where it has none. */
static const char *known_name(lua_State *L) {
    static const char *const modules[] = {LUA_GNAME,       LUA_TABLIBNAME,  LUA_STRLIBNAME, LUA_COLIBNAME,
                                          LUA_UTF8LIBNAME, LUA_LOADLIBNAME, "saros",        NULL};
    int                      f = lua_gettop(L);
    lua_getfield(L, LUA_REGISTRYINDEX, LUA_LOADED_TABLE);
    for (const char *const *module = modules; *module != NULL; module++) {
        lua_settop(L, f + 1);
        if (lua_getfield(L, f + 1, *module) != LUA_TTABLE) continue;
        for (lua_pushnil(L); lua_next(L, f + 2) != 0; lua_pop(L, 1)) {
            if (lua_type(L, -2) != LUA_TSTRING || !lua_rawequal(L, -1, f)) continue;
            if (module == modules) lua_pushvalue(L, -2);
            else lua_pushfstring(L, "%s.%s", *module, lua_tostring(L, -2));
            lua_replace(L, f);
            lua_settop(L, f);
            return lua_tostring(L, f);
        }
    }
    lua_settop(L, f - 1);
    return NULL;
}

static bool is_one_of(const char *name, const char *const *names) {
    while (*names != NULL && strcmp(*names, name) != 0) names++;
    return *names != NULL;
}

/* The function on top (popped) of that level: its name if it is in the way, perhaps pushed; else NULL. */
static const char *obstacle(lua_State *L, const lua_Debug *ar) {
    static const char *const yields[] = {"pcall", "xpcall", "dofile", "error", NULL};
    lua_CFunction            f = lua_tocfunction(L, -1);
    bool                     finalizes = strcmp(ar->namewhat, "metamethod") == 0 && strcmp(ar->name, finalizer) == 0;
    if (finalizes || strcmp(ar->namewhat, "hook") == 0) {
        lua_pop(L, 1);
        return finalizes ? finalizer : hook;
    }
    if (*ar->what != 'C' || f == saros_require) {
        lua_pop(L, 1);
        return NULL;
    }
    if (f == saros_handler) {
        lua_pop(L, 1);
        return "xpcall";
    }
    const char *known = known_name(L);
    if (known == NULL) return ar->name;
    bool ours = strncmp(known, "coroutine.", 10) == 0 || strncmp(known, "saros.", 6) == 0;
    if (!ours && !is_one_of(known, yields)) return known;
    if (strcmp(known, "xpcall") != 0) lua_pop(L, 1);
    return NULL;
}

_Noreturn static void blame(lua_State *L, const char *what, const char *name) {
    const char *kind = strcmp(name, finalizer) == 0 ? "a finalizer"
                       : strcmp(name, hook) == 0    ? "a callback"
                                                    : "a C function";
    luaL_error(L, "%s: cannot await inside '%s', %s that cannot be suspended: %s", what, name, kind, advice(name));
}

/* Something on the stack of `at` cannot be left. */
_Noreturn static void not_yieldable(lua_State *L, lua_State *at, const char *what) {
    lua_Debug ar;
    luaL_checkstack(L, 8, what);
    luaL_checkstack(at, 2, what);
    bool handler = false; /* where Lua's own xpcall has called one, nothing tells it from the function that it calls */
    for (int level = L == at; lua_getstack(at, level, &ar); level++) {
        lua_getinfo(at, "Snf", &ar);
        if (L != at) lua_xmove(at, L, 1);
        int         top = lua_gettop(L);
        const char *name = obstacle(L, &ar);
        if (name != NULL) blame(L, what, name);
        handler = handler || lua_gettop(L) == top;
        lua_settop(L, top - 1);
    }
    if (handler) blame(L, what, "xpcall");
    luaL_error(L, "%s: cannot await here: a C function that cannot be suspended is in the way", what);
}

void saros_refuse_await(lua_State *L, const saros_task *task, const char *what) {
    if (task == NULL) luaL_error(L, "%s: cannot await outside a task (use saros.run or saros.spawn)", what);
    if (task->at != L && task->rt->lua->cutting > 0)
        luaL_error(L, "%s: cannot await inside a coroutine that is being closed", what);
    if (!lua_isyieldable(L)) not_yieldable(L, L, what);
    if (!lua_isyieldable(task->at)) not_yieldable(L, task->at, what);
    luaL_error(L,
               "%s: cannot await inside a coroutine that Lua's own coroutine.resume or coroutine.wrap has resumed: use "
               "saros.coroutine, or saros.install() at the start",
               what);
}
