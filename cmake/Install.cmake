# What is installed, by component: the program with what belongs to it, and each service by itself.
install(TARGETS tcpgreet RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR} COMPONENT tcpgreet)
install(PROGRAMS scripts/generate-certs DESTINATION ${CMAKE_INSTALL_BINDIR} RENAME tcpgreet-generate-certs
    COMPONENT tcpgreet)
install(FILES man/tcpgreet.1 man/tcpgreet-generate-certs.1 DESTINATION ${CMAKE_INSTALL_MANDIR}/man1 COMPONENT tcpgreet)
install(FILES LICENSE README.md CHANGELOG.md SECURITY.md DESTINATION ${CMAKE_INSTALL_DOCDIR} COMPONENT tcpgreet)
install(DIRECTORY docs DESTINATION ${CMAKE_INSTALL_DOCDIR} COMPONENT tcpgreet
    FILES_MATCHING PATTERN "*.md" PATTERN "*.json" PATTERN "*.svg")
install(FILES "${sbom}" DESTINATION ${CMAKE_INSTALL_DOCDIR} COMPONENT tcpgreet)

# The units of packaging/systemd, with the path that the program is installed at, which is known only then: those of the exporter,
# and all the others.
set(services "")
file(GLOB units CONFIGURE_DEPENDS packaging/systemd/*.service packaging/systemd/*.socket packaging/systemd/*.timer)
foreach(unit ${units})
    cmake_path(GET unit FILENAME name)
    set(component tcpgreet-server)
    if(name MATCHES "exporter")
        set(component tcpgreet-exporter)
    endif()
    list(APPEND services ${component})
    list(APPEND ${component}_units ${name})
    install(CODE "
        set(prefix \"\${CMAKE_INSTALL_PREFIX}\")
        if(prefix MATCHES \"/_CPack_Packages/\") # the files of a package, which are installed below /usr
            set(prefix /usr)
        endif()
        set(folder \"${CMAKE_INSTALL_BINDIR}\")
        cmake_path(ABSOLUTE_PATH folder BASE_DIRECTORY \"\${prefix}\")
        file(READ \"${unit}\" text)
        string(REPLACE /usr/bin/tcpgreet \"\${folder}/tcpgreet\" text \"\${text}\")
        file(WRITE \"${PROJECT_BINARY_DIR}/systemd/${name}\" \"\${text}\")" COMPONENT ${component})
    install(FILES "${PROJECT_BINARY_DIR}/systemd/${name}" DESTINATION lib/systemd/system COMPONENT ${component})
endforeach()
list(REMOVE_DUPLICATES services)

# What cmake --install wrote, and the folders that are empty without it.
configure_file(cmake/uninstall.cmake.in uninstall.cmake @ONLY)
add_custom_target(uninstall COMMAND ${CMAKE_COMMAND} -P "${PROJECT_BINARY_DIR}/uninstall.cmake" VERBATIM)
