# libuv and threads always; OpenSSL unless it is not wanted; libidn2, PCRE2, jansson, libmicrohttpd and libseccomp where
# they are wanted or found.
set(THREADS_PREFER_PTHREAD_FLAG ON)
find_package(Threads REQUIRED)
find_package(PkgConfig REQUIRED)
if(TCPGREET_STATIC) # archives, also those that the libraries themselves need
    set(CMAKE_FIND_LIBRARY_SUFFIXES .a)
    list(APPEND PKG_CONFIG_ARGN --static)
    pkg_search_module(LIBUV REQUIRED IMPORTED_TARGET libuv-static>=1.44 libuv>=1.44)
else()
    pkg_check_modules(LIBUV REQUIRED IMPORTED_TARGET libuv>=1.44) # uv_available_parallelism
endif()

if(TCPGREET_IDN STREQUAL "AUTO")
    pkg_check_modules(IDN2 IMPORTED_TARGET libidn2)
elseif(TCPGREET_IDN)
    pkg_check_modules(IDN2 REQUIRED IMPORTED_TARGET libidn2)
else()
    set(IDN2_FOUND FALSE)
endif()

if(TCPGREET_PCRE2 STREQUAL "AUTO")
    pkg_check_modules(PCRE2 IMPORTED_TARGET libpcre2-8>=10.34)
elseif(TCPGREET_PCRE2)
    pkg_check_modules(PCRE2 REQUIRED IMPORTED_TARGET libpcre2-8>=10.34)
else()
    set(PCRE2_FOUND FALSE)
endif()

if(TCPGREET_JSON STREQUAL "AUTO")
    pkg_check_modules(JANSSON IMPORTED_TARGET jansson>=2.11)
elseif(TCPGREET_JSON)
    pkg_check_modules(JANSSON REQUIRED IMPORTED_TARGET jansson>=2.11)
else()
    set(JANSSON_FOUND FALSE)
endif()

set(microhttpd libmicrohttpd>=0.9.70) # MHD_get_timeout of an external epoll, MHD_ALLOW_SUSPEND_RESUME
if(TCPGREET_HTTP STREQUAL "AUTO")
    pkg_check_modules(MICROHTTPD IMPORTED_TARGET ${microhttpd})
elseif(TCPGREET_HTTP)
    pkg_check_modules(MICROHTTPD REQUIRED IMPORTED_TARGET ${microhttpd})
else()
    set(MICROHTTPD_FOUND FALSE)
endif()
if(MICROHTTPD_FOUND AND TCPGREET_STATIC AND TCPGREET_HTTP STREQUAL "AUTO") # Debian's archive needs one that is not there
    include(CheckCSourceCompiles)
    set(CMAKE_REQUIRED_LIBRARIES PkgConfig::MICROHTTPD)
    set(CMAKE_REQUIRED_LINK_OPTIONS -static)
    check_c_source_compiles("#include <microhttpd.h>
int main(void) { return MHD_get_version() == 0; }" have_static_microhttpd)
    unset(CMAKE_REQUIRED_LIBRARIES)
    unset(CMAKE_REQUIRED_LINK_OPTIONS)
    if(NOT have_static_microhttpd)
        set(MICROHTTPD_FOUND FALSE)
    endif()
endif()
set(microhttpd_library) # the name by which it is loaded at run time; empty: it is linked
if(MICROHTTPD_FOUND AND NOT TCPGREET_STATIC)
    list(FILTER MICROHTTPD_LINK_LIBRARIES INCLUDE REGEX "libmicrohttpd\\.so$")
    get_filename_component(microhttpd_library "${MICROHTTPD_LINK_LIBRARIES}" REALPATH)
    string(REGEX MATCH "libmicrohttpd\\.so\\.[0-9]+" microhttpd_library "${microhttpd_library}")
endif()

set(seccomp libseccomp>=2.4)
if(TCPGREET_SECCOMP STREQUAL "AUTO")
    pkg_check_modules(SECCOMP IMPORTED_TARGET ${seccomp})
elseif(TCPGREET_SECCOMP)
    pkg_check_modules(SECCOMP REQUIRED IMPORTED_TARGET ${seccomp})
else()
    set(SECCOMP_FOUND FALSE)
endif()

if(TCPGREET_TLS)
    pkg_check_modules(OPENSSL REQUIRED IMPORTED_TARGET openssl>=3.0)
endif()

# glibc and musl have it; elsewhere tls_getenv compares user ids.
include(CheckSymbolExists)
set(CMAKE_REQUIRED_DEFINITIONS -D_GNU_SOURCE)
check_symbol_exists(secure_getenv stdlib.h TCPGREET_HAVE_SECURE_GETENV)
check_symbol_exists(malloc_trim malloc.h TCPGREET_HAVE_MALLOC_TRIM)
check_symbol_exists(RWF_NOWAIT sys/uio.h TCPGREET_HAVE_RWF_NOWAIT) # and with it pwritev2, since glibc 2.26
unset(CMAKE_REQUIRED_DEFINITIONS)
