add_compile_options(-Wall -Wextra -Wconversion -Wshadow)
if(TCPGREET_WERROR)
    add_compile_options(-Werror)
endif()
