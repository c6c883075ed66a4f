# Position independence everywhere; the rest in optimised builds, each flag only where the tools know it.
include(CheckCCompilerFlag)
include(CheckCSourceCompiles)
include(CheckIPOSupported)
include(CheckLinkerFlag)
include(CheckPIESupported)

check_pie_supported(LANGUAGES C)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)

set(optimised "$<CONFIG:Release,RelWithDebInfo,MinSizeRel>")
set(CMAKE_C_FLAGS_RELEASE "-O2 -DNDEBUG")

function(harden_compiler flag)
    string(MAKE_C_IDENTIFIER "have${flag}" have)
    check_c_compiler_flag(${flag} ${have})
    if(${have})
        add_compile_options("$<${optimised}:${flag}>")
    endif()
endfunction()

function(harden_linker flag)
    string(MAKE_C_IDENTIFIER "have${flag}" have)
    check_linker_flag(C ${flag} ${have})
    if(${have})
        add_link_options("$<${optimised}:${flag}>")
    endif()
endfunction()

harden_compiler(-fstack-protector-strong)
harden_compiler(-fcf-protection)
harden_linker(-Wl,-z,relro)
harden_linker(-Wl,-z,now)
harden_linker(-Wl,-z,noexecstack)

# The same bytes from every folder: OpenSSL's error macros use __FILE__.
harden_compiler("-ffile-prefix-map=${PROJECT_SOURCE_DIR}/=")

# Still position-independent, where the C library can: -static-pie stands for CMake's -pie then.
function(link_statically target)
    check_linker_flag(C -static-pie have_static_pie)
    if(have_static_pie)
        set_property(TARGET ${target} PROPERTY POSITION_INDEPENDENT_CODE)
        target_compile_options(${target} PRIVATE -fPIE)
        target_link_options(${target} PRIVATE -static-pie)
    else()
        set_property(TARGET ${target} PROPERTY POSITION_INDEPENDENT_CODE OFF)
        target_link_options(${target} PRIVATE -static)
    endif()
endfunction()

# Level 3 needs a compiler that knows sizes at run time and a C library that asks for them.
check_c_source_compiles("
#include <stdlib.h>
#if !__has_builtin(__builtin_dynamic_object_size) || !__GLIBC_PREREQ(2, 34)
#error no
#endif
int main(void) { return 0; }" have_fortify_3)

if(NOT TCPGREET_SANITIZE)
    set(level 2)
    if(have_fortify_3)
        set(level 3)
    endif()
    add_compile_options("$<${optimised}:-U_FORTIFY_SOURCE>" "$<${optimised}:-D_FORTIFY_SOURCE=${level}>")

    check_ipo_supported(RESULT have_ipo OUTPUT why_no_ipo LANGUAGES C)
    if(have_ipo)
        set(CMAKE_INTERPROCEDURAL_OPTIMIZATION_RELEASE ON)
    endif()

    # Objects that can be linked either way: the program is optimised as a whole, the tests link in no time.
    check_c_compiler_flag("-flto -ffat-lto-objects" have_fat_objects)
    if(have_ipo AND have_fat_objects)
        add_compile_options("$<$<CONFIG:Release>:-ffat-lto-objects>")
    endif()
endif()
