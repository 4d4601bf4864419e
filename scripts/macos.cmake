# macos.cmake: the CMake toolchain with which scripts/macos builds for macOS on Linux.
#
# It takes the folder SAROS_MACOS_TOOLS, where that script has put cc, ar and ranlib for one processor, and
# SAROS_MACOS_PROCESSOR. What is installed on this machine is not of that system: no package of it is looked for.
set(CMAKE_SYSTEM_NAME Darwin)
set(CMAKE_SYSTEM_PROCESSOR "${SAROS_MACOS_PROCESSOR}")
set(CMAKE_TRY_COMPILE_PLATFORM_VARIABLES SAROS_MACOS_TOOLS SAROS_MACOS_PROCESSOR)

set(CMAKE_C_COMPILER "${SAROS_MACOS_TOOLS}/cc")
set(CMAKE_AR "${SAROS_MACOS_TOOLS}/ar")
set(CMAKE_RANLIB "${SAROS_MACOS_TOOLS}/ranlib")
set(CMAKE_INSTALL_NAME_TOOL true) # nothing here is installed, and CMake insists on one
set(CMAKE_OSX_SYSROOT "" CACHE STRING "the compiler brings its own")
set(CMAKE_OSX_DEPLOYMENT_TARGET "" CACHE STRING "the compiler's")

set(CMAKE_DISABLE_FIND_PACKAGE_PkgConfig ON)
set(CMAKE_FIND_ROOT_PATH "${SAROS_MACOS_TOOLS}/none")
foreach(kind LIBRARY INCLUDE PACKAGE)
    set(CMAKE_FIND_ROOT_PATH_MODE_${kind} ONLY)
endforeach()
set(CMAKE_FIND_ROOT_PATH_MODE_PROGRAM NEVER)

# The linker of this zig cannot make a bundle, which a module is on macOS; it dies of it. dlopen loads either. CMake sets
# this for the system after a toolchain is read, and reads the file named here after that.
set(CMAKE_SHARED_MODULE_CREATE_C_FLAGS "-dynamiclib")
set(CMAKE_USER_MAKE_RULES_OVERRIDE "${CMAKE_CURRENT_LIST_FILE}")
