include(CheckCCompilerFlag)

add_compile_options(-Wall -Wextra -Wconversion -Wshadow)
if(TCPGREET_WERROR)
    add_compile_options(-Werror)
endif()
# No object code of another compiler version is linked in, so a changed ABI of i386 is nothing to report.
check_c_compiler_flag(-Wno-psabi TCPGREET_HAS_NO_PSABI)
if(TCPGREET_HAS_NO_PSABI)
    add_compile_options(-Wno-psabi)
endif()
