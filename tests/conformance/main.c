/* main.c: conformance DRIVER */
#include <stdio.h>
#include <string.h>

#include "conformance/conformance.h"

const char *group_name(const char *group) {
    static char name[80];
    snprintf(name, sizeof name, "conformance/%s on %s", group, world_driver);
    print_message("%s\n", name);
    return name;
}

bool driver_is(const char *name) { return strcmp(world_driver, name) == 0; }

int main(int count, char **arguments) {
    if (count != 2) {
        fprintf(stderr, "usage: %s DRIVER\n", arguments[0]);
        return 2;
    }
    world_driver = arguments[1];
    if (driver_is("none")) return conform_none() + conform_timing();
    return conform_opening() + conform_streams() + conform_ending() + conform_stopping() + conform_hostile() +
           conform_timing();
}
