/* given.c: handles on descriptors that are there already, or come in twos: ADOPT, BORROW, PAIR.
 *
 * The same for every driver that stands on the system's descriptors; what a driver keeps in a handle it sets itself.
 * Promises: all of it is done at once; where it fails nothing is open that was not, and an adopted descriptor is its
 * owner's as before. */
#include "backends/socket_try.h"

static int take(saros_loop *loop, saros_handle *handle, int what, saros_take_in *take_in, void *driver) {
    int error = take_in(driver, handle, (enum saros_found)what);
    if (error == 0) saros_opened(loop, handle, what == SAROS_FOUND_LISTENER);
    else handle->os = SAROS_NO_HANDLE;
    return error;
}

static int open_pair(saros_loop *loop, saros_op *op, saros_take_in *take_in, void *driver) {
    saros_os_handle ends[2];
    int             error = saros_try_pair(ends);
    if (error < 0) return error;
    op->handle->os = ends[0];
    op->accepted->os = ends[1];
    error = take_in(driver, op->accepted, SAROS_FOUND_STREAM);
    if (error == 0) error = take(loop, op->handle, SAROS_FOUND_STREAM, take_in, driver);
    if (error == 0) {
        saros_opened(loop, op->accepted, false);
        return 0;
    }
    for (int i = 0; i < 2; i++) saros_try_close(ends[i]);
    op->accepted->os = op->handle->os = SAROS_NO_HANDLE;
    return error;
}

int saros_open_given(saros_loop *loop, saros_op *op, saros_take_in *take_in, void *driver) {
    if (op->kind == SAROS_OP_PAIR) return open_pair(loop, op, take_in, driver);
    saros_os_handle fd = (saros_os_handle)op->size;
    int             what = op->kind == SAROS_OP_ADOPT ? saros_try_adopt(fd) : saros_try_ready(fd, 0);
    if (what < 0) return what;
    if (op->kind == SAROS_OP_BORROW) what = SAROS_FOUND_BORROWED;
    op->handle->os = fd;
    return take(loop, op->handle, what, take_in, driver);
}
