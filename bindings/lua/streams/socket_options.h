/* socket_options.h: what can be said of a socket, in tables of options and by name. */
#ifndef SAROS_SOCKET_OPTIONS_H
#define SAROS_SOCKET_OPTIONS_H

#include "bindings/lua/streams/stream.h"

/* The names, for lists of what a table may have. */
#define SAROS_SOCKET_OPTION_NAMES                                                                               \
    "nodelay", "keepalive", "keepalive_idle", "keepalive_interval", "keepalive_count", "linger", "send_buffer", \
        "receive_buffer", "ttl"

/* A flag is a boolean; where it has also a number, that is the option behind it in the same list. */
typedef struct saros_known_option {
    const char *name;                /* NULL ends a list */
    int         option, least, most; /* most 0: a flag */
} saros_known_option;

extern const saros_known_option saros_stream_knows[], saros_udp_knows[];

/* Sets it, or asks for it. 0 or an error. */
int saros_socket_option(saros_stream *stream, saros_setting *setting, bool ask);
/* Of a table or nil, what it has of the list; raises. */
void saros_socket_options_check(lua_State *L, int arg, const saros_known_option *known);
/* Sets those that the table at `at` has. 0; or an error, and *which is the option's name. */
int  saros_socket_options_set(lua_State *L, int at, saros_stream *stream, const saros_known_option *known,
                              const char **which);
bool saros_option_flag(lua_State *L, int arg, const char *name, bool otherwise); /* a boolean option; raises */
int  saros_method_option(lua_State *L, saros_stream *stream);

#endif
