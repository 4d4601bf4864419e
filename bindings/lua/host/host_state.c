/* host_state.c: the host's Lua state: luaL_newstate's, on the allocator of host_slabs.c.
 *
 * Owns that allocator. Promises: the same as luaL_newstate gives: warnings, which begin turned off, and a last word where
 * an error is caught by nobody. */
#include <stdio.h>
#include <string.h>

#include "bindings/lua/host/host.h"

#ifdef SAROS_HAVE_SLABS
#include "bindings/lua/host/host_slabs.h"

static int panic(lua_State *L) {
    const char *text = lua_tostring(L, -1);
    fprintf(stderr, "PANIC: unprotected error in call to Lua API (%s)\n", text != NULL ? text : "not a string");
    fflush(stderr);
    return 0; /* Lua aborts */
}

static void warn_off(void *state, const char *text, int more);
static void warn_on(void *state, const char *text, int more);

static bool is_control(lua_State *L, const char *text, int more) {
    if (more || *text != '@') return false;
    if (strcmp(text, "@off") == 0) lua_setwarnf(L, warn_off, L);
    else if (strcmp(text, "@on") == 0) lua_setwarnf(L, warn_on, L);
    return true;
}

static void warn_off(void *state, const char *text, int more) { is_control(state, text, more); }

/* In the middle of a message, which comes in pieces. */
static void warn_more(void *state, const char *text, int more) {
    fprintf(stderr, more ? "%s" : "%s\n", text);
    fflush(stderr);
    lua_setwarnf(state, more ? warn_more : warn_on, state);
}

static void warn_on(void *state, const char *text, int more) {
    if (is_control(state, text, more)) return;
    fputs("Lua warning: ", stderr);
    warn_more(state, text, more);
}

lua_State *saros_new_state(void) {
    saros_slabs *slabs = saros_slabs_new();
    lua_State   *L = slabs != NULL ? lua_newstate(saros_slabs_alloc, slabs) : NULL;
    if (L == NULL) {
        if (slabs != NULL) saros_slabs_free(slabs);
        return NULL;
    }
    lua_atpanic(L, panic);
    lua_setwarnf(L, warn_off, L);
    return L;
}

void saros_close_state(lua_State *L) {
    void *slabs;
    lua_getallocf(L, &slabs);
    lua_close(L);
    saros_slabs_free(slabs);
}
#else
lua_State *saros_new_state(void) { return luaL_newstate(); }
void       saros_close_state(lua_State *L) { lua_close(L); }
#endif
