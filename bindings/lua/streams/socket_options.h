/* socket_options.h: what can be said of a socket, in tables of options and by name. */
#ifndef SAROS_SOCKET_OPTIONS_H
#define SAROS_SOCKET_OPTIONS_H

#include "bindings/lua/streams/stream.h"

/* The names, for lists of what a table may have. */
#define SAROS_SOCKET_OPTION_NAMES                                                                               \
    "nodelay", "keepalive", "keepalive_idle", "keepalive_interval", "keepalive_count", "linger", "send_buffer", \
        "receive_buffer", "ttl"

void saros_socket_options_check(lua_State *L, int arg); /* a table or nil; raises */
/* Sets those that the table at `at` has. 0; or an error, and *which is the option's name. */
int  saros_socket_options_set(lua_State *L, int at, saros_stream *stream, const char **which);
bool saros_option_flag(lua_State *L, int arg, const char *name, bool otherwise); /* a boolean option; raises */
int  saros_method_option(lua_State *L, saros_stream *stream);

#endif
