/* service_signal_none.c: no signals: this system has none that a program could wait for. */
#include "bindings/lua/services/signal.h"

int saros_signal_number(const char *name) {
    (void)name;
    return 0;
}

const char *saros_signal_name(int number) {
    (void)number;
    return NULL;
}

bool saros_signal_heard(int number) {
    (void)number;
    return false;
}

int saros_signal_listen(saros_ears *ears) {
    (void)ears;
    return SAROS_ENOSYS;
}

void saros_signal_ignore(saros_ears *ears) { (void)ears; }
