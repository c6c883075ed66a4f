# Completion for bash, fish and zsh, made from the table of options: what the table gives, then what a shell needs. A program of
# the build makes it, so a cross build without an emulator goes without.
if(CMAKE_CROSSCOMPILING AND NOT CMAKE_CROSSCOMPILING_EMULATOR)
    message(STATUS "No completion for shells: set CMAKE_CROSSCOMPILING_EMULATOR to make it in a cross build")
    return()
endif()
add_executable(completion packaging/completion/completion.c)
target_include_directories(completion PRIVATE "${PROJECT_SOURCE_DIR}/src")
target_link_libraries(completion PRIVATE tcpgreet_core)
if(TCPGREET_STATIC)
    link_statically(completion)
endif()

set(completions "")
function(add_completion shell name folder)
    set(logic "${PROJECT_SOURCE_DIR}/packaging/completion/tcpgreet.${shell}")
    set(table "${PROJECT_BINARY_DIR}/completions/table.${shell}")
    set(output "${PROJECT_BINARY_DIR}/completions/${shell}/${name}")
    file(MAKE_DIRECTORY "${PROJECT_BINARY_DIR}/completions/${shell}")
    add_custom_command(OUTPUT "${output}" DEPENDS completion "${logic}"
        COMMAND completion ${shell} > "${table}"
        COMMAND ${CMAKE_COMMAND} -E cat "${table}" "${logic}" > "${output}")
    set(completions ${completions} "${output}" PARENT_SCOPE)
    install(FILES "${output}" DESTINATION "${folder}" COMPONENT tcpgreet)
endfunction()

add_completion(bash tcpgreet "${CMAKE_INSTALL_DATADIR}/bash-completion/completions")
add_completion(fish tcpgreet.fish "${CMAKE_INSTALL_DATADIR}/fish/vendor_completions.d")
add_completion(zsh _tcpgreet "${CMAKE_INSTALL_DATADIR}/zsh/vendor-completions") # Debian's; elsewhere: add it to fpath
add_custom_target(completions ALL DEPENDS ${completions})
