/* file_stdin.c: saros.stdin where it is a file: a disk cannot be waited for, so it is read as files are, on another thread.
 * Its place is the system's, which moves for all who share it, by more than was asked for. */
#include "bindings/lua/services/file.h"
#include "bindings/lua/services/stdio.h"

bool saros_push_stdin_file(lua_State *L, saros_rt *rt) {
    if (!saros_stdio_is_file(0)) return false;
    saros_file_wrap(L, rt, 0, "stdin", true, false, true);
    return true;
}
