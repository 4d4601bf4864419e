/* addr.c: addresses as text and back.
 *
 * Owns what counts as an address: literals, "*", "localhost", Unix paths. Names are recognised, not looked up.
 * Promises: nothing is ever cut short: a zero byte, an over-long host or path, a port out of range is an error with
 * its reason. Numbers are decimal IPv4 as inet_pton takes them; "0x7f.1" and "127.1" are no addresses here. */
#include <stdio.h>
#include <string.h>
#ifdef _WIN32
#include <winsock2.h>
#include <ws2tcpip.h>
#else
#include <arpa/inet.h>
#include <net/if.h>
#include <sys/socket.h>
#endif

#include "core/saros.h"

enum { LONGEST_HOST = 255, LONGEST_LABEL = 63 }; /* RFC 1035, 2.3.4 */

static int wrong(const char **why, const char *reason) {
    *why = reason;
    return SAROS_EINVAL;
}

static bool same(const char *text, size_t length, const char *word) {
    return strlen(word) == length && memcmp(text, word, length) == 0;
}

/* A name that could be looked up: letters, digits, hyphens, underscores, not all labels numeric. */
static int check_name(const char *host, size_t length, const char **why) {
    size_t label = 0;
    bool   numeric = true;
    if (length > LONGEST_HOST) return wrong(why, "host name of more than 255 characters");
    for (size_t i = 0; i < length; i++) {
        unsigned char c = (unsigned char)host[i];
        bool          digit = c >= '0' && c <= '9', letter = (c | 32) >= 'a' && (c | 32) <= 'z';
        if (c == 0) return wrong(why, "zero byte in host name");
        if (c == '.') {
            if (label == 0) return wrong(why, "empty label in host name");
            label = 0;
            if (i + 1 < length) numeric = true; /* judge the last label: it makes the name */
            continue;
        }
        if (!digit && !letter && c != '-' && c != '_') return wrong(why, "bad character in host name");
        if (++label > LONGEST_LABEL) return wrong(why, "label of more than 63 characters in host name");
        if (!digit) numeric = false;
    }
    if (numeric) return wrong(why, "not an IPv4 address (four decimal numbers), and not a name");
    return SAROS_IS_NAME;
}

static int scope_number(const char *text, size_t length, uint32_t *scope) {
    uint32_t number = 0;
    for (size_t i = 0; i < length; i++) {
        if (text[i] < '0' || text[i] > '9' || number > UINT32_MAX / 10 - 1) {
#ifndef _WIN32
            char name[IF_NAMESIZE];
            if (length >= sizeof name || memchr(text, 0, length) != NULL) return SAROS_EINVAL;
            memcpy(name, text, length);
            name[length] = 0;
            *scope = if_nametoindex(name);
            return *scope > 0 ? 0 : SAROS_EINVAL;
#else
            return SAROS_EINVAL;
#endif
        }
        number = number * 10 + (uint32_t)(text[i] - '0');
    }
    *scope = number;
    return length > 0 ? 0 : SAROS_EINVAL;
}

static int make_inet6(saros_address *address, const char *host, size_t length, const char **why) {
    char        text[INET6_ADDRSTRLEN + 1];
    const char *percent = memchr(host, '%', length);
    size_t      digits = percent != NULL ? (size_t)(percent - host) : length;
    if (digits >= sizeof text) return wrong(why, "not an IPv6 address");
    memcpy(text, host, digits);
    text[digits] = 0;
    if (strlen(text) != digits || inet_pton(AF_INET6, text, address->at.ip) != 1)
        return wrong(why, "not an IPv6 address");
    address->family = SAROS_INET6;
    if (percent != NULL && scope_number(percent + 1, length - digits - 1, &address->scope) < 0)
        return wrong(why, "no such scope behind % in the IPv6 address");
    return SAROS_IS_ADDRESS;
}

int saros_address_make(saros_address *address, const char *host, size_t length, int port, const char **why) {
    char text[INET_ADDRSTRLEN];
    memset(address, 0, sizeof *address);
    if (port < 0 || port > 65535) return wrong(why, "port out of range (0 to 65535)");
    address->port = (uint16_t)port;
    if (length == 0 || same(host, length, "*")) {
        address->family = SAROS_INET6; /* all zero: any */
        address->dual = true;
        return SAROS_IS_ADDRESS;
    }
    if (memchr(host, ':', length) != NULL) return make_inet6(address, host, length, why);
    if (same(host, length, "localhost")) { /* RFC 6761, 6.3: never asked of a name server */
        address->family = SAROS_INET;
        memcpy(address->at.ip, "\x7f\0\0\1", 4);
        return SAROS_IS_ADDRESS;
    }
    if (length < sizeof text) {
        memcpy(text, host, length);
        text[length] = 0;
        if (strlen(text) == length && inet_pton(AF_INET, text, address->at.ip) == 1) {
            address->family = SAROS_INET;
            return SAROS_IS_ADDRESS;
        }
    }
    return check_name(host, length, why);
}

int saros_address_path(saros_address *address, const char *path, size_t length, const char **why) {
    memset(address, 0, sizeof *address);
    if (length == 0) return wrong(why, "empty path");
    if (length >= sizeof address->at.path) return wrong(why, "path of more than 107 bytes");
    if (path[0] != 0 && memchr(path, 0, length) != NULL) return wrong(why, "zero byte in path");
    address->family = SAROS_UNIX;
    address->length = (uint16_t)length;
    memcpy(address->at.path, path, length);
    return SAROS_IS_ADDRESS;
}

static int read_port(const char *text, size_t length, int *port, const char **why) {
    *port = 0;
    if (length == 0) return wrong(why, "no port behind the colon");
    for (size_t i = 0; i < length; i++) {
        if (text[i] < '0' || text[i] > '9') return wrong(why, "port is not a decimal number");
        *port = *port * 10 + (text[i] - '0');
        if (*port > 65535) return wrong(why, "port out of range (0 to 65535)");
    }
    return 0;
}

int saros_address_parse(saros_address *address, const char *text, size_t length, const char **host, size_t *host_length,
                        const char **why) {
    const char *colon = NULL;
    int         port = 0;
    memset(address, 0, sizeof *address);
    if (length >= 5 && memcmp(text, "unix:", 5) == 0) return saros_address_path(address, text + 5, length - 5, why);
    for (size_t i = 0; i < length; i++)
        if (text[i] == ':') colon = text + i;
    if (colon == NULL) return wrong(why, "no port: expected host:port, [ipv6]:port or unix:/path");
    *host = text;
    *host_length = (size_t)(colon - text);
    if (read_port(colon + 1, length - *host_length - 1, &port, why) < 0) return SAROS_EINVAL;
    if (*host_length >= 2 && text[0] == '[' && colon[-1] == ']') {
        ++*host;
        *host_length -= 2;
        if (memchr(*host, ':', *host_length) == NULL) return wrong(why, "not an IPv6 address between [ and ]");
    } else if (memchr(text, ':', *host_length) != NULL) {
        return wrong(why, "an IPv6 address needs brackets: [::1]:80");
    }
    return saros_address_make(address, *host, *host_length, port, why);
}

size_t saros_address_format(const saros_address *address, char text[SAROS_ADDRESS_TEXT]) {
    char ip[INET6_ADDRSTRLEN] = "?", scope[16] = "";
    int  length;
    switch (address->family) {
    case SAROS_INET:
        inet_ntop(AF_INET, address->at.ip, ip, sizeof ip);
        length = snprintf(text, SAROS_ADDRESS_TEXT, "%s:%d", ip, address->port);
        break;
    case SAROS_INET6:
        inet_ntop(AF_INET6, address->at.ip, ip, sizeof ip);
        if (address->scope > 0) snprintf(scope, sizeof scope, "%%%u", (unsigned)address->scope);
        if (address->dual)
            length = snprintf(text, SAROS_ADDRESS_TEXT, "*:%d", address->port); /* "[::]" is IPv6 alone */
        else length = snprintf(text, SAROS_ADDRESS_TEXT, "[%s%s]:%d", ip, scope, address->port);
        break;
    case SAROS_UNIX:
        memcpy(text, "unix:", 5);
        memcpy(text + 5, address->at.path, address->length);
        text[length = 5 + address->length] = 0;
        break;
    default: length = snprintf(text, SAROS_ADDRESS_TEXT, "?");
    }
    return (size_t)length;
}
