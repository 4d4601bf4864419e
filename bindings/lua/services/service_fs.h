/* service_fs.h: libuv's requests about files, as jobs of the service.
 *
 * A job makes one call after the other: `call` begins one, `after` takes its result and says whether another one follows.
 * Both run on the service's thread; in a simulated world, where files are real, on the loop's, and libuv does its work in
 * the call itself. So whoever fills in the two need not know where they run.
 *
 * To read or write a descriptor that somebody else has: saros_file_wrap in file.h, which makes a file of it. */
#ifndef SAROS_LUA_SERVICE_FS_H
#define SAROS_LUA_SERVICE_FS_H

#include "bindings/lua/services/service.h"

typedef struct saros_fs_job saros_fs_job;
struct saros_fs_job {
    saros_job job; /* first; its op.result is what came of it */
    uv_fs_t   request;
    bool      stopped; /* nobody waits for it any more: `after` need not go on */
    int       error;   /* `after` sets it where something has failed */
    /* Makes a call with `request`; cb NULL: it is done when it returns. Gives what libuv's function gives. */
    int (*call)(const saros_libuv *uv, uv_loop_t *loop, saros_fs_job *self, uv_fs_cb cb);
    /* result: of the call, an error is the system's own. True: there is another call to be made. The request is cleaned
     * up when it has returned. */
    bool (*after)(const saros_libuv *uv, saros_fs_job *self, ssize_t result);
};

/* What remains to be filled in are the two functions. */
void saros_fs_prepare(saros_fs_job *self);

const char *saros_fs_kind(unsigned mode); /* of a status: "file", "directory", … */

const char *saros_fs_check_path(lua_State *L, int arg); /* fs.c: raises */

void saros_open_fs_watch(lua_State *L); /* watch.c: into the table on top */

#endif
