/* host.c: the program saros: runs a Lua script whose main chunk is a task.
 *
 * Owns the process: its options, its signals, its exit code. This and host_signal_*.c are the only places with
 * static state: the loop that a signal is posted to, and who is told of one.
 * Promises: exit codes as lua's (0, or 1 after an error or an error that nobody awaited; os.exit's otherwise), 35 after
 * a deadlock, 130 after an interrupt, 143 after SIGTERM; <close> variables run in all of these. */
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#ifdef SAROS_HAVE_MALLOPT
#include <malloc.h>
#endif
#ifdef SAROS_HAVE_PERSONALITY
#include <sys/personality.h>
#endif
#ifdef SAROS_HAVE_UNISTD
#include <fcntl.h>
#include <unistd.h>
#endif

#include "bindings/lua/host/host.h"
#include "bindings/lua/host/host_signal.h"
#include "bindings/lua/sim.h"
#include "bindings/lua/look/trace.h"

enum { DEADLOCKED = 35 /* the exit code: EDEADLK of Linux */ };

typedef struct options {
    const char   *driver, *code, *script, *faults;
    const char   *command; /* one of the host's own, bindings/lua/host/NAME.lua; NULL: it runs a script */
    const char   *counts;  /* a file; see host_counts.c */
    uint64_t      seed;
    bool          trace, luasocket;
    saros_manners manners;
    int           first; /* index of the first of the script's own arguments */
    int           at;    /* index of the script */
    int           argc;
    char        **argv;
    int           exit_code;
} options;

/* ---- signals -------------------------------------------------------------------------------------------------- */

static saros_lua *signalled;     /* NULL: no loop to tell */
static saros_op   signal_op;     /* posted to whichever loop runs */
static atomic_int signal_number; /* not yet told; 0: none */
static int        ended_by;      /* the signal that was told; 0: none */
static saros_op   look_op;       /* posted by SIGQUIT */
static atomic_int looking;       /* it was, and is not yet told */
static atomic_int overlooked;    /* one came while no loop ran */

static void signal_told(saros_loop *loop, saros_op *op, int64_t result) {
    int number = atomic_exchange(&signal_number, 0);
    (void)loop, (void)result;
    saros_expect(loop, op);
    if (number == 0 || signalled == NULL) return;
    ended_by = number;
    for (saros_rt *rt = signalled->loops; rt != NULL; rt = rt->next)
        if (rt->running) saros_rt_interrupt(rt, number == SIGINT ? "interrupted" : "terminated");
}

/* Somebody wants to see what the tasks do. */
static void look_told(saros_loop *loop, saros_op *op, int64_t result) {
    (void)result;
    atomic_store(&looking, 0);
    saros_expect(loop, op);
    for (saros_rt *rt = signalled != NULL ? signalled->loops : NULL; rt != NULL; rt = rt->next)
        if (rt->running) saros_dump_report(rt);
}

/* Inside a signal handler, or on another thread. False: no loop runs that could be told; or the last wish to look was not
 * taken note of. The first one may come while the host itself works, and then ends nothing. */
static bool on_signal(int number) {
    bool told = false;
    atomic_fetch_add(&signalled->knocking, 1); /* the loop stays open until it is taken back */
    saros_loop *loop = atomic_load(&signalled->innermost);
    if (loop != NULL && number == SAROS_LOOK) {
        told = atomic_exchange(&looking, 1) == 0;
        if (told) saros_post(loop, &look_op, number);
    } else if (number == SAROS_LOOK) {
        told = atomic_exchange(&overlooked, 1) == 0;
    } else if (loop != NULL) {
        told = true;
        if (atomic_exchange(&signal_number, number) == 0) saros_post(loop, &signal_op, number);
    }
    atomic_fetch_sub(&signalled->knocking, 1);
    return told;
}

static void unwatch_signals(void) {
    saros_unwatch_signals();
    signalled = NULL;
}

static int state_closes(lua_State *L) {
    (void)L;
    unwatch_signals();
    return 0;
}

static void watch_signals(lua_State *L, saros_lua *lua, saros_loop *loop) {
    lua_newuserdatauv(L, 0, 0); /* os.exit closes the state while the loop runs: then nobody may be told any more */
    lua_createtable(L, 0, 1);
    lua_pushcfunction(L, state_closes);
    lua_setfield(L, -2, "__gc");
    lua_setmetatable(L, -2);
    lua_rawsetp(L, LUA_REGISTRYINDEX, &signalled);
    signal_op.done = signal_told;
    saros_expect(loop, &signal_op);
    look_op.done = look_told;
    saros_expect(loop, &look_op);
    signalled = lua;
    saros_watch_signals(on_signal);
}

/* ---- options -------------------------------------------------------------------------------------------------- */

static const char usage[] =
    "usage: saros [options] script.lua [arguments]\n"
    "       saros [options] -e CODE [arguments]\n"
    "       saros [options] - [arguments]          the script is read from standard input\n"
    "       saros compare [options] script.lua [arguments]      see saros compare --help\n"
    "       saros --seeds N [options] script.lua [arguments]    see saros --seeds --help\n"
    "\n"
    "Runs a Lua 5.4 script as a task on an event loop: require \"saros\" in it, and await.\n"
    "\n"
    "  -e CODE         run CODE instead of a file\n"
    "  --driver NAME   the loop's driver; several, as in \"epoll,poll\": the first that opens\n"
    "                  (default: $SAROS_DRIVER, else the best that opens)\n"
    "  --seed N        what driver sim leaves to chance is drawn from it (default: 0)\n"
    "  --faults LIST   what goes wrong in the world of driver sim; docs/simulation.md\n"
    "  --drivers       list the drivers, and which of them open here; also --drivers --json\n"
    "  --debug         tell what runs for long without giving way, and what is never closed\n"
    "                  (also SAROS_DEBUG=1)\n"
    "  --shuffle SEED  run tasks that are ready together in an order drawn from it\n"
    "  --slice MS      a script that runs so long without awaiting gives way all the same\n"
    "  --luasocket     require \"socket\" gives saros.socket: programs for LuaSocket wait in their task\n"
    "  --trace         print each operation's way through the loop, to standard error\n"
    "  --version       print the version\n"
    "  --help          print this\n"
    "\n"
    "exit code: 0; 1 after an error, or one that nobody awaited; 35 where nothing can ever wake\n"
    "what waits (a deadlock); 130 after Ctrl-C (a second one ends the process); 143 after SIGTERM\n"
    "SIGQUIT (Ctrl-\\) prints what each task waits for, and the program goes on\n";

static int wrong_usage(const char *what, const char *which) {
    fprintf(stderr, "saros: %s%s%s\n%s", what, which != NULL ? " " : "", which != NULL ? which : "", usage);
    return 1;
}

/* -1: go on; else the exit code. */
static int parse(options *o) {
    if (o->argc > 1 && strcmp(o->argv[1], "compare") == 0) o->command = "compare";
    for (o->at = 1; o->at < o->argc && o->command == NULL; o->at++) {
        const char *word = o->argv[o->at];
        if (word[0] != '-' || strcmp(word, "-") == 0) {
            o->script = word;
            break;
        }
        static const char *const with_value[] = {"-e",       "--driver",  "--seed", "--faults",
                                                 "--counts", "--shuffle", "--slice"};
        bool                     takes_value = false;
        for (size_t i = 0; i < sizeof with_value / sizeof *with_value; i++)
            takes_value = takes_value || strcmp(word, with_value[i]) == 0;
        if (takes_value && o->at + 1 == o->argc) return wrong_usage("a value is missing behind", word);
        if (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0) return fputs(usage, stdout), 0;
        if (strcmp(word, "--version") == 0 || strcmp(word, "-v") == 0)
            return printf("saros %s, %s\n", SAROS_VERSION, LUA_RELEASE), 0;
        if (strcmp(word, "--drivers") == 0) o->command = "drivers";
        else if (strcmp(word, "--seeds") == 0 || strncmp(word, "--seeds=", 8) == 0) o->command = "explore";
        else if (strcmp(word, "--trace") == 0) o->trace = true;
        else if (strcmp(word, "--luasocket") == 0) o->luasocket = true;
        else if (strcmp(word, "--debug") == 0) o->manners.debug = true;
        else if (strcmp(word, "--driver") == 0) o->driver = o->argv[++o->at];
        else if (strncmp(word, "--driver=", 9) == 0) o->driver = word + 9;
        else if (strcmp(word, "--counts") == 0) o->counts = o->argv[++o->at];
        else if (strcmp(word, "--faults") == 0) o->faults = o->argv[++o->at];
        else if (strncmp(word, "--faults=", 9) == 0) o->faults = word + 9;
        else if (strcmp(word, "--seed") == 0 || strncmp(word, "--seed=", 7) == 0) {
            const char *value = word[6] == '=' ? word + 7 : o->argv[++o->at];
            const char *wrong = saros_seed_parse(value, &o->seed);
            if (wrong != NULL) return fprintf(stderr, "saros: --seed %s: %s\n", value, wrong), 1;
        } else if (strcmp(word, "--shuffle") == 0 || strncmp(word, "--shuffle=", 10) == 0) {
            const char *value = word[9] == '=' ? word + 10 : o->argv[++o->at];
            const char *wrong = saros_seed_parse(value, &o->manners.shuffle);
            if (wrong != NULL) return fprintf(stderr, "saros: --shuffle %s: %s\n", value, wrong), 1;
            o->manners.shuffles = true;
        } else if (strcmp(word, "--slice") == 0 || strncmp(word, "--slice=", 8) == 0) {
            const char *value = word[7] == '=' ? word + 8 : o->argv[++o->at];
            char       *end;
            double      ms = strtod(value, &end);
            if (end == value || *end != 0 || !(ms > 0 && ms < 1e9))
                return fprintf(stderr, "saros: --slice %s: must be a number of milliseconds above 0\n", value), 1;
            o->manners.slice = (saros_time)(ms * 1e6) + 1;
        } else if (strcmp(word, "-e") == 0) {
            o->code = o->argv[++o->at];
            o->at++;
            break;
        } else return wrong_usage("unknown option", word);
    }
    if (o->command != NULL) return -1;
    o->first = o->code != NULL ? o->at : o->at + 1;
#ifdef SAROS_HAVE_UNISTD
    if (o->script == NULL && o->code == NULL && isatty(0)) return wrong_usage("no script", NULL);
#endif
    return -1;
}

/* ---- a simulated world ---------------------------------------------------------------------------------------- */

/* Where the system gives each process other addresses, a table that has objects as keys has another order in each, and
 * the collector its own times. A simulation is begun again without that, where it may be. */
static void fix_addresses(const options *o) {
    const char *driver = o->driver != NULL ? o->driver : getenv("SAROS_DRIVER");
    if (driver == NULL || strncmp(driver, "sim", 3) != 0 || (driver[3] != 0 && driver[3] != ',')) return;
#ifdef SAROS_HAVE_PERSONALITY
    int before = personality(0xffffffff);
    if (before == -1 || (before & ADDR_NO_RANDOMIZE) || personality((unsigned)before | ADDR_NO_RANDOMIZE) == -1) return;
    execv("/proc/self/exe", o->argv); /* returns only where it has failed */
    personality((unsigned)before);
#endif
}

static bool addresses_are_fixed(void) {
#ifdef SAROS_HAVE_PERSONALITY
    int now = personality(0xffffffff);
    return now != -1 && (now & ADDR_NO_RANDOMIZE);
#else
    return false;
#endif
}

/* The trace's first line: what the run hangs on, and what of it a second run may not have. */
static void say_world(const options *o) {
    fprintf(stderr, "simulated: seed %llu, faults %s", (unsigned long long)o->seed,
            o->faults != NULL ? o->faults : "none");
#ifndef SAROS_FIXED_TABLES
    fprintf(stderr, "; the order of pairs() is not fixed: this Lua library draws it anew in each process");
#endif
    if (!addresses_are_fixed()) fprintf(stderr, "; addresses are not fixed: this system gives each process its own");
    fputc('\n', stderr);
}

/* Its local time is UTC, whatever the machine's. */
static void enter_world(lua_State *L, saros_rt *rt, const options *o) {
#if defined SAROS_HAVE_SETENV
    setenv("TZ", "UTC0", 1);
#elif defined SAROS_HAVE_PUTENV_S
    _putenv_s("TZ", "UTC0");
#endif
    saros_sim_install(L, rt);
    if (o->trace) say_world(o);
}

/* ---- the script ----------------------------------------------------------------------------------------------- */

/* The table arg, as lua makes it: the script at 0, its arguments from 1 on, what came before below 0. */
static void push_arg_table(lua_State *L, const options *o) {
    int zero = o->script != NULL || o->code != NULL ? o->first - 1 : 0;
    if (o->script == NULL && o->code == NULL) zero = o->argc;
    lua_createtable(L, o->argc - zero, zero + 1);
    for (int i = 0; i < o->argc; i++) {
        lua_pushstring(L, o->argv[i]);
        lua_rawseti(L, -2, i - zero);
    }
    lua_setglobal(L, "arg");
}

static int load_script(lua_State *L, const options *o) {
    if (o->code != NULL) return luaL_loadbufferx(L, o->code, strlen(o->code), "=(command line)", "t");
    bool from_stdin = o->script == NULL || strcmp(o->script, "-") == 0;
    return luaL_loadfilex(L, from_stdin ? NULL : o->script, "t"); /* text only: a binary chunk can crash Lua */
}

/* The error on top, as lua shows it: with the traceback of where it was raised. */
static void show_error(lua_State *L) {
    const char *trace = saros_traced(L, -1) ? lua_tostring(L, -1) : NULL;
    int         error = trace != NULL ? -2 : -1;
    const char *text = lua_tostring(L, error);
    bool        has_text = text == NULL && luaL_getmetafield(L, error, "__tostring") != LUA_TNIL;
    if (has_text) {
        lua_pop(L, 1);
        text = saros_text_of(L, error);
    } else if (text == NULL) {
        text = lua_pushfstring(L, "(error object is a %s value)", luaL_typename(L, error));
    }
    fflush(stdout);
    fprintf(stderr, "saros: %s\n%s%s", text, trace != NULL ? trace : "", trace != NULL ? "\n" : "");
}

/* What main left behind is cancelled and awaited, and named. */
static void end_leftovers(lua_State *L, saros_rt *rt) {
    if (rt->live > 0 && !rt->interrupted && !rt->deadlocked) { /* else they are named already, or it is no news */
        size_t left = saros_describe_tasks(L, rt, 5, false);
        fflush(stdout);
        if (left > 0)
            fprintf(stderr, "saros: main ended; cancelled %zu task%s: %s\n", left, left == 1 ? "" : "s",
                    lua_tostring(L, -1));
        lua_pop(L, 1);
    }
    saros_rt_shutdown(L, rt);
}

static void report(void *user, const char *text) {
    (void)user;
    fflush(stdout);
    fprintf(stderr, "saros: %s\n", text);
}

static void say_ended(void) { fprintf(stderr, "saros: %s\n", ended_by == SIGINT ? "interrupted" : "terminated"); }

static int run_script(lua_State *L, options *o) {
    saros_lua   *lua = saros_state_slow(L);
    saros_config config = SAROS_CONFIG_INIT;
    config.report = report;
    config.user = stderr;
    config.driver = o->driver;
    config.seed = o->seed;
    config.faults = o->faults;
    if (o->trace) config.trace = saros_trace_line;
    if (o->counts != NULL) saros_count(&config, o->counts);
    lua->config = &config;
    o->manners.debug = o->manners.debug || lua->manners.debug;
    lua->manners = o->manners;
    saros_rt *rt = saros_rt_new(L, lua, NULL, NULL);
    if (rt->world != NULL) enter_world(L, rt, o);
    else if (o->faults != NULL)
        luaL_error(L, "--faults: only driver sim has any, and this loop's is %s", saros_driver_name(rt->loop));
    push_arg_table(L, o);
    if (o->luasocket) {
        luaopen_saros_socket(L);
        lua_getfield(L, -1, "install");
        lua_call(L, 0, 0);
        lua_pop(L, 1);
    }
    if (load_script(L, o) != LUA_OK) {
        show_error(L);
        saros_rt_close(L, rt);
        return 1;
    }
    int arguments = o->argc > o->first ? o->argc - o->first : 0;
    luaL_checkstack(L, arguments, "too many arguments");
    for (int i = 0; i < arguments; i++) lua_pushstring(L, o->argv[o->first + i]);
    watch_signals(L, lua, rt->loop);
    int  status = saros_rt_run(L, rt, arguments);
    bool ended = ended_by != 0;
    if (ended) say_ended();
    else if (status != LUA_OK) show_error(L);
    end_leftovers(L, rt);
    if (!ended && ended_by != 0) say_ended();
    unwatch_signals();
    saros_rt_close(L, rt); /* reports what nobody has awaited */
    size_t reported = rt->reported;
    lua->config = NULL;
    if (ended_by != 0) return 128 + ended_by;
    if (rt->deadlocked) return DEADLOCKED;
    return status != LUA_OK || reported > 0 ? 1 : 0;
}

static int protected_main(lua_State *L) {
    options *o = lua_touserdata(L, 1);
    luaL_checkversion(L);
    luaL_openlibs(L);
    luaL_requiref(L, "saros", luaopen_saros, 0);
    lua_settop(L, 0);
    saros_install(L, saros_state_slow(L));
    o->exit_code = o->command != NULL ? saros_command(L, o->command, o->argc, o->argv) : run_script(L, o);
    return 0;
}

/* Lua frees and takes messages of a few KB all the time. glibc gives the heap's end back to the kernel whenever 128 KB
 * are free there, and faults it in again: 2 us of 10 for each 16 KB message, before this. */
static void keep_heap(void) {
#ifdef SAROS_HAVE_MALLOPT
    mallopt(M_TRIM_THRESHOLD, 64 << 20);
    mallopt(M_TOP_PAD, 1 << 20);
    mallopt(M_MMAP_THRESHOLD, 1 << 20);
#endif
}

/* A standard descriptor that is closed would be the number of what is opened next, and the loop would be written to in the
 * name of print. What stands there now can neither be read nor written, and says so as a closed one does. */
static void keep_places(void) {
#if defined SAROS_HAVE_UNISTD && defined F_GETFD
    for (int fd = 0; fd < 3; fd++)
        if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", fd == 0 ? O_WRONLY : O_RDONLY) != fd) return;
#endif
}

int main(int argc, char **argv) {
    keep_places();
    keep_heap();
    options o = {.argc = argc, .argv = argv};
    int     early = parse(&o);
    if (early >= 0) return early;
    if (o.command == NULL) fix_addresses(&o);
    lua_State *L = saros_new_state();
    if (L == NULL) return fprintf(stderr, "saros: not enough memory\n"), 1;
    lua_pushcfunction(L, protected_main);
    lua_pushlightuserdata(L, &o);
    if (lua_pcall(L, 1, 0, 0) != LUA_OK) {
        show_error(L);
        o.exit_code = 1;
    }
    saros_close_state(L);
    return o.exit_code;
}
