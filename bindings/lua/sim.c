/* sim.c: scripts in a simulated world: the module saros.sim, and what of Lua's own library has to be of that world.
 *
 * Owns nothing: the world is the driver's (backends/sim.h). From which host a task calls is kept in the task, and said to
 * the driver when something of the task's is submitted; a task that it spawns is on the same host.
 * Promises: no script has to be changed for a simulation. Loops on other drivers of the same state keep the real clock.
 * Where the running loop is no world, every function here says so, and which driver it has. */
#include <string.h>

#include "backends/sim.h"
#include "bindings/lua/sim.h"
#include "bindings/lua/tasks/task.h"

/* What os.time says when a world begins: 2026-01-01 00:00:00 UTC, a Thursday. */
#define EPOCH INT64_C(1767225600)

/* ---- for the rest of the binding ------------------------------------------------------------------------------ */

static int resolve(saros_rt *rt, const char *name, size_t length, saros_address *address) {
    char          text[SAROS_SIM_NAME];
    saros_address found[2];
    if (length >= sizeof text) return SAROS_ENAME;
    memcpy(text, name, length);
    text[length] = 0;
    int count = saros_sim_lookup(rt->loop, text, found);
    if (count < 0) return count;
    found[0].port = address->port;
    *address = found[0];
    return 0;
}

static void leave(saros_rt *rt, const saros_task *task) {
    saros_sim_on(rt->loop, saros_sim_host_at(rt->loop, task != NULL ? task->host : 0));
}

saros_world *saros_sim_world(saros_loop *loop) {
    static saros_world world = {resolve, leave};
    return saros_sim_where(loop) != NULL ? &world : NULL;
}

/* The loop that runs, if it is a world. */
static saros_rt *running_world(lua_State *L) {
    saros_lua *lua = saros_state(L);
    saros_rt  *rt = lua->current != NULL ? lua->current : lua->attached;
    return rt != NULL && rt->world != NULL ? rt : NULL;
}

static saros_rt *world(lua_State *L, const char *what) {
    saros_rt *rt = saros_loop_now(L, what);
    if (rt->world == NULL)
        luaL_error(L,
                   "%s: this loop's driver is %s; a simulated world has sim (saros --driver sim, or "
                   "saros.loop{driver = \"sim\"})",
                   what, saros_driver_name(rt->loop));
    return rt;
}

/* ---- Lua's own clocks and dice -------------------------------------------------------------------------------- */

static lua_Integer world_time(const saros_rt *rt) { return EPOCH + saros_now(rt->loop) / SAROS_SECOND; }

/* os.time(): with a table it only calculates. */
static int os_time(lua_State *L) {
    saros_rt *rt = running_world(L);
    if (rt == NULL || !lua_isnoneornil(L, 1)) return saros_call_own(L);
    lua_pushinteger(L, world_time(rt));
    return 1;
}

static int os_date(lua_State *L) {
    saros_rt *rt = running_world(L);
    if (rt == NULL || !lua_isnoneornil(L, 2)) return saros_call_own(L);
    lua_settop(L, 1);
    if (lua_isnil(L, 1)) {
        lua_pushliteral(L, "%c");
        lua_replace(L, 1);
    }
    lua_pushinteger(L, world_time(rt));
    return saros_call_own(L);
}

/* Of a processor that does nothing but wait it is the time that has passed. */
static int os_clock(lua_State *L) {
    saros_rt *rt = running_world(L);
    if (rt == NULL) return saros_call_own(L);
    lua_pushnumber(L, (lua_Number)saros_now(rt->loop) / 1e9);
    return 1;
}

/* Without arguments Lua seeds from the clock and from addresses. */
static int math_randomseed(lua_State *L) {
    saros_rt *rt = running_world(L);
    if (rt != NULL && lua_gettop(L) == 0) {
        lua_pushinteger(L, (lua_Integer)saros_random(rt->loop));
        lua_pushinteger(L, (lua_Integer)saros_random(rt->loop));
    }
    return saros_call_own(L);
}

/* field of the table on top, where it is a function */
static void replace(lua_State *L, const char *field, lua_CFunction f, saros_lua *lua) {
    bool there = lua_getfield(L, -1, field) == LUA_TFUNCTION;
    lua_pop(L, 1);
    if (there) saros_wrap(L, field, f, lua);
}

void saros_sim_install(lua_State *L, saros_rt *rt) {
    saros_lua *lua = rt->lua;
    luaL_getsubtable(L, LUA_REGISTRYINDEX, LUA_LOADED_TABLE);
    if (lua_getfield(L, -1, LUA_OSLIBNAME) == LUA_TTABLE && !lua->simulates) {
        replace(L, "time", os_time, lua);
        replace(L, "date", os_date, lua);
        replace(L, "clock", os_clock, lua);
    }
    lua_pop(L, 1);
    if (lua_getfield(L, -1, LUA_MATHLIBNAME) == LUA_TTABLE) {
        if (!lua->simulates) replace(L, "randomseed", math_randomseed, lua);
        if (lua_getfield(L, -1, "randomseed") == LUA_TFUNCTION) {
            lua_pushinteger(L, (lua_Integer)saros_configuration(rt->loop)->seed);
            lua_call(L, 1, 0);
        } else {
            lua_pop(L, 1);
        }
    }
    lua_pop(L, 2);
    lua->simulates = true;
}

/* saros.sim.install(): what the host does at its start, for a Lua that runs a world of its own. */
static int install(lua_State *L) {
    saros_sim_install(L, world(L, "saros.sim.install"));
    lua_pushboolean(L, 1);
    return 1;
}

/* ---- hosts and links ------------------------------------------------------------------------------------------ */

/* A host's name as argument; NULL where none is given. */
static const char *host_name(lua_State *L, const saros_rt *rt, int arg) {
    saros_address found[2];
    if (lua_isnoneornil(L, arg)) return NULL;
    const char *name = luaL_checkstring(L, arg);
    if (saros_sim_lookup(rt->loop, name, found) < 0)
        luaL_argerror(L, arg, lua_pushfstring(L, "no host '%s'; saros.sim.host adds one", name));
    return name;
}

/* The address alone: without the port, and the brackets that set it apart. */
static void push_ip(lua_State *L, const saros_address *address) {
    char   text[SAROS_ADDRESS_TEXT];
    size_t length = saros_address_format(address, text) - strlen(":0");
    bool   bracket = text[0] == '[';
    lua_pushlstring(L, text + bracket, length - 2 * (size_t)bracket);
}

/* saros.sim.host(name) -> its IPv4 address, its IPv6 address; there is one of that name from now on */
static int host(lua_State *L) {
    saros_rt     *rt = world(L, "saros.sim.host");
    saros_address found[2];
    const char   *name = luaL_checkstring(L, 1);
    int           error = saros_sim_host(rt->loop, name);
    if (error == SAROS_EINVAL)
        return luaL_argerror(L, 1, lua_pushfstring(L, "'%s' cannot be the name of a host", name));
    if (error < 0) return luaL_error(L, "saros.sim.host: %s", saros_error_text(error));
    saros_sim_lookup(rt->loop, name, found);
    push_ip(L, &found[0]);
    push_ip(L, &found[1]);
    return 2;
}

/* saros.sim.hosts() -> their names, "localhost" first, in the order in which they were added */
static int hosts(lua_State *L) {
    saros_rt   *rt = world(L, "saros.sim.hosts");
    const char *name;
    lua_newtable(L);
    for (size_t i = 0; (name = saros_sim_host_at(rt->loop, i)) != NULL; i++) {
        lua_pushstring(L, name);
        lua_rawseti(L, -2, (lua_Integer)i + 1);
    }
    return 1;
}

static int link(lua_State *L, const char *what, enum saros_sim_state state) {
    saros_rt   *rt = world(L, what);
    const char *a = host_name(L, rt, 1), *b = host_name(L, rt, 2);
    if (a == NULL && b != NULL) return luaL_argerror(L, 1, "a host's name expected, where a second one is given");
    int error = saros_sim_link(rt->loop, a, b, state);
    if (error == SAROS_EINVAL) return luaL_argerror(L, 2, "the same host: inside one nothing can be cut");
    if (error < 0) return luaL_error(L, "%s: %s", what, saros_error_text(error));
    lua_pushboolean(L, 1);
    return 1;
}

/* saros.sim.cut([a[, b]]): nothing gets through between a and b; between a and all others; anywhere */
static int cut(lua_State *L) { return link(L, "saros.sim.cut", SAROS_SIM_CUT); }
/* The same, but whoever tries is told: connections are refused, or reset. */
static int refuse(lua_State *L) { return link(L, "saros.sim.refuse", SAROS_SIM_REFUSED); }
static int heal(lua_State *L) { return link(L, "saros.sim.heal", SAROS_SIM_UP); }

/* saros.sim.latency(a, b, least[, most]): seconds that a segment takes */
static int latency(lua_State *L) {
    saros_rt   *rt = world(L, "saros.sim.latency");
    const char *a = host_name(L, rt, 1), *b = host_name(L, rt, 2);
    saros_time  least = saros_seconds(L, 3), most = lua_isnoneornil(L, 4) ? least : saros_seconds(L, 4);
    if (a == NULL && b != NULL) return luaL_argerror(L, 1, "a host's name expected, where a second one is given");
    if (most < least) return luaL_argerror(L, 4, "less than the least");
    int error = saros_sim_latency(rt->loop, a, b, least, most);
    if (error == SAROS_EINVAL) return luaL_argerror(L, most > least ? 4 : 3, "more than an hour");
    if (error < 0) return luaL_error(L, "saros.sim.latency: %s", saros_error_text(error));
    lua_pushboolean(L, 1);
    return 1;
}

/* ---- being on a host ------------------------------------------------------------------------------------------ */

/* SAROS_T_PLACE: where a task was, until it leaves the function that it is on another host for. */
typedef struct place {
    saros_task *task;
    uint16_t    before;
} place;

static int place_closed(lua_State *L) {
    place *self = saros_check(L, 1, SAROS_T_PLACE);
    self->task->host = self->before;
    return 0;
}

/* Its name has been checked. */
static uint16_t host_index(saros_loop *loop, const char *name) {
    uint16_t i = 0;
    saros_sim_on(loop, name); /* leave() says it anew each time */
    while (saros_sim_host_at(loop, i) != saros_sim_where(loop)) i++;
    return i;
}

/* saros.sim.on(name, fn, ...): calls fn; what it connects, or listens on every interface, is on that host meanwhile, and
 * the tasks that it spawns are there for good. May wait. fn's results. */
static int on(lua_State *L) {
    saros_rt *rt = world(L, "saros.sim.on");
    luaL_checkstring(L, 1);
    const char *name = host_name(L, rt, 1);
    luaL_checktype(L, 2, LUA_TFUNCTION);
    saros_task *task = saros_begin_uncancelled(L, "saros.sim.on");
    place      *self = saros_new(L, rt->lua, SAROS_T_PLACE, sizeof *self, 0);
    self->task = task;
    self->before = task->host;
    lua_replace(L, 1);
    lua_toclose(L, 1);
    task->host = host_index(rt->loop, name);
    lua_callk(L, lua_gettop(L) - 2, LUA_MULTRET, 1, saros_all_results);
    return saros_all_results(L, LUA_OK, 1);
}

/* ---- time, chance, faults ------------------------------------------------------------------------------------- */

/* saros.sim.now() -> seconds since the world began */
static int now(lua_State *L) {
    lua_pushnumber(L, (lua_Number)saros_now(world(L, "saros.sim.now")->loop) / 1e9);
    return 1;
}

/* saros.sim.advance(seconds): time passes, as in a long calculation; what falls due is told at the next await. */
static int advance(lua_State *L) {
    saros_rt *rt = world(L, "saros.sim.advance");
    if (saros_sim_advance(rt->loop, saros_seconds(L, 1)) < 0)
        return luaL_argerror(L, 1, "time does not go on for so long");
    lua_pushboolean(L, 1);
    return 1;
}

static int seed(lua_State *L) {
    saros_rt *rt = world(L, "saros.sim.seed");
    lua_pushinteger(L, (lua_Integer)saros_configuration(rt->loop)->seed);
    return 1;
}

/* 0 … most, each as likely as the others: what would favour some of them is drawn again. */
static uint64_t draw(saros_loop *loop, uint64_t most) {
    uint64_t value = saros_random(loop);
    if (most == UINT64_MAX) return value;
    uint64_t count = most + 1, even = UINT64_MAX - (UINT64_MAX % count + 1) % count;
    while (value > even) value = saros_random(loop);
    return value % count;
}

/* saros.sim.random([[m,] n]) -> as math.random, but drawn from what decides everything else in the world */
static int random(lua_State *L) {
    saros_rt   *rt = world(L, "saros.sim.random");
    int         count = lua_gettop(L);
    lua_Integer low = count >= 2 ? luaL_checkinteger(L, 1) : 1, high = count >= 1 ? luaL_checkinteger(L, count) : 0;
    if (count > 2) return luaL_error(L, "saros.sim.random: at most two arguments");
    if (count == 0) {
        lua_pushnumber(L, (lua_Number)(saros_random(rt->loop) >> 11) * 0x1p-53);
        return 1;
    }
    if (count == 1 && high == 0) low = LUA_MININTEGER, high = LUA_MAXINTEGER;
    luaL_argcheck(L, low <= high, count, "nothing is in this interval");
    uint64_t drawn = (uint64_t)low + draw(rt->loop, (uint64_t)high - (uint64_t)low);
    lua_pushinteger(L, (lua_Integer)drawn);
    return 1;
}

static int calm(lua_State *L) {
    saros_sim_calm(world(L, "saros.sim.calm")->loop);
    lua_pushboolean(L, 1);
    return 1;
}

/* saros.sim.faults() -> a list of {name=, chance=, budget=, about=, happened=}; saros.sim.faults(name) -> how often that one has happened */
static int faults(lua_State *L) {
    saros_rt       *rt = world(L, "saros.sim.faults");
    saros_sim_fault fault;
    if (!lua_isnoneornil(L, 1)) {
        int64_t happened = saros_sim_happened(rt->loop, luaL_checkstring(L, 1));
        if (happened < 0) return luaL_argerror(L, 1, lua_pushfstring(L, "no fault '%s'", lua_tostring(L, 1)));
        lua_pushinteger(L, happened);
        return 1;
    }
    lua_newtable(L);
    for (size_t i = 0; saros_sim_profile(i, &fault); i++) {
        lua_createtable(L, 0, 5);
        lua_pushstring(L, fault.name);
        lua_setfield(L, -2, "name");
        lua_pushnumber(L, fault.chance);
        lua_setfield(L, -2, "chance");
        lua_pushinteger(L, fault.budget);
        lua_setfield(L, -2, "budget");
        lua_pushstring(L, fault.about);
        lua_setfield(L, -2, "about");
        lua_pushinteger(L, saros_sim_happened(rt->loop, fault.name));
        lua_setfield(L, -2, "happened");
        lua_rawseti(L, -2, (lua_Integer)i + 1);
    }
    return 1;
}

/* ---- the module ----------------------------------------------------------------------------------------------- */

void saros_sim_open(lua_State *L) {
    static const luaL_Reg functions[] = {
        {"host", host},       {"hosts", hosts}, {"cut", cut},         {"refuse", refuse},   {"heal", heal},
        {"latency", latency}, {"on", on},       {"advance", advance}, {"now", now},         {"seed", seed},
        {"random", random},   {"calm", calm},   {"faults", faults},   {"install", install}, {NULL, NULL}};
    saros_type_make(L, SAROS_T_PLACE, "saros.sim.place", NULL,
                    (const luaL_Reg[]){{"__close", place_closed}, {NULL, NULL}});
    lua_createtable(L, 0, 16);
    saros_add(L, functions);
}

int luaopen_saros_sim(lua_State *L) {
    lua_pushcfunction(L, luaopen_saros);
    lua_call(L, 0, 1);
    lua_getfield(L, -1, "sim");
    return 1;
}
