/* main.c: conformance DRIVER [FAULTS] */
#include <stdio.h>
#include <string.h>

#include "conformance/conformance.h"

const char *group_name(const char *group) {
    static char name[80];
    const char *faults = world_faults != NULL ? world_faults : "";
    snprintf(name, sizeof name, "conformance/%s on %s%s%s", group, world_driver, faults[0] != 0 ? "-" : "", faults);
    print_message("%s\n", name);
    return name;
}

bool driver_is(const char *name) { return strcmp(world_driver, name) == 0; }

int main(int count, char **arguments) {
    if (count != 2 && count != 3) {
        fprintf(stderr, "usage: %s DRIVER [FAULTS]\n", arguments[0]);
        return 2;
    }
    world_driver = arguments[1];
    world_faults = arguments[2]; /* or the NULL behind the last */
    if (driver_is("none")) return conform_none() + conform_timing();
    int failed = conform_opening() + conform_options() + conform_streams() + conform_datagrams() + conform_many() +
                 conform_ending() + conform_stopping() + conform_given() + conform_ready() + conform_timing();
    return driver_is("sim") ? failed : failed + conform_hostile(); /* hostile to descriptors, and it has none */
}
