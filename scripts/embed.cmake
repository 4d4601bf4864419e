# embed.cmake: turns Lua files into one C header, so that the program needs no files beside it.
#
# usage: cmake -D OUTPUT=saros_embedded.h -P embed.cmake -- FILE.lua…
# Promises: any bytes come through unchanged; no file at all gives an empty table; the names are the files' without
# folder and ".lua"; each text ends in a zero that its size does not count.
set(texts "")
set(rows "")
set(is_file OFF)
math(EXPR last "${CMAKE_ARGC} - 1")
foreach(index RANGE ${last})
    set(file "${CMAKE_ARGV${index}}")
    if(NOT is_file)
        if(file STREQUAL "--")
            set(is_file ON)
        endif()
        continue()
    endif()
    get_filename_component(name "${file}" NAME_WLE)
    string(MAKE_C_IDENTIFIER "${name}" id)
    file(READ "${file}" hex HEX)
    string(REGEX REPLACE "(................................)" "\\1\n" hex "${hex}")
    string(REGEX REPLACE "([0-9a-f][0-9a-f])" "'\\\\x\\1'," bytes "${hex}")
    string(LENGTH "${hex}" length)
    file(SIZE "${file}" size)
    string(APPEND texts "static const char saros_text_${id}[] = {\n${bytes}0};\n")
    string(APPEND rows "    {\"${name}\", saros_text_${id}, ${size}},\n")
endforeach()
file(WRITE "${OUTPUT}" "/* saros_embedded.h: the Lua files of Saros, made by scripts/embed.cmake. */
#ifndef SAROS_EMBEDDED_H
#define SAROS_EMBEDDED_H

#include <stddef.h>

${texts}
static const struct {
    const char *name;
    const char *text;
    size_t size;
} saros_embedded[] = {
${rows}    {NULL, NULL, 0},
};

#endif
")
