# cpack: a .deb of the program, and one of each service whose units are there, from what was built.
set(CMAKE_SKIP_INSTALL_ALL_DEPENDENCY ON)
set(CPACK_GENERATOR DEB)
set(CPACK_PACKAGE_VENDOR tcpgreet)
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "") # each package has its own
set(CPACK_PACKAGE_CONTACT "The tcpgreet authors <maintainers@tcpgreet.example>")
set(CPACK_PACKAGE_DIRECTORY "${PROJECT_BINARY_DIR}/packages")
set(CPACK_PACKAGING_INSTALL_PREFIX /usr)
set(CPACK_STRIP_FILES ON)
set(CPACK_INSTALL_DEFAULT_DIRECTORY_PERMISSIONS OWNER_READ OWNER_WRITE OWNER_EXECUTE GROUP_READ GROUP_EXECUTE WORLD_READ
    WORLD_EXECUTE)
set(CPACK_COMPONENTS_ALL tcpgreet ${services})
set(CPACK_COMPONENTS_GROUPING IGNORE)
set(CPACK_PRE_BUILD_SCRIPTS "${PROJECT_SOURCE_DIR}/packaging/debian/prepare.cmake")

set(CPACK_DEB_COMPONENT_INSTALL ON)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_RELEASE 1)
set(CPACK_DEBIAN_COMPRESSION_TYPE xz)
set(CPACK_DEBIAN_PACKAGE_CONTROL_STRICT_PERMISSION ON)
set(CPACK_DEBIAN_PACKAGE_PRIORITY optional)
set(CPACK_DEBIAN_PACKAGE_SECTION net)

set(CPACK_DEBIAN_TCPGREET_PACKAGE_NAME tcpgreet)
set(CPACK_DEBIAN_TCPGREET_PACKAGE_SHLIBDEPS ON)
set(CPACK_DEBIAN_TCPGREET_PACKAGE_SUGGESTS openssl)
# What is loaded at run time is in no list of the linker's: the packages that these libraries were found in.
set(loaded "")
find_program(DPKG_QUERY dpkg-query)
mark_as_advanced(DPKG_QUERY)
foreach(library ${microhttpd_library} ${idn_library} ${seccomp_library})
    if(DPKG_QUERY)
        execute_process(COMMAND ${DPKG_QUERY} -S "*/${library}" OUTPUT_VARIABLE owner ERROR_QUIET)
        string(REGEX MATCH "^[a-z0-9][a-z0-9+.-]+" owner "${owner}")
        if(owner)
            list(APPEND loaded ${owner})
        else()
            message(WARNING "No package has ${library}: a .deb will not depend on it")
        endif()
    endif()
endforeach()
list(JOIN loaded ", " CPACK_DEBIAN_TCPGREET_PACKAGE_DEPENDS)
set(CPACK_DEBIAN_TCPGREET_DESCRIPTION "check TCP and TLS services on every address and in every phase
Probes name resolution, IPv6 and IPv4, TCP, TLS, the certificate and the
dialogue of any service, reports what failed, why, and what to do, and waits
for services, monitors them and measures them under load. Has a greeting
server and client that verify a path byte for byte.")

set(CPACK_DEBIAN_TCPGREET-SERVER_DESCRIPTION "systemd units of the tcpgreet server and of its probe
Units for the greeting server, its socket, and a timer that probes a list of
targets. None is enabled or started by the installation.")
set(CPACK_DEBIAN_TCPGREET-EXPORTER_DESCRIPTION "systemd unit of the tcpgreet exporter
A unit for a resident prober that Prometheus queries. It is not enabled or
started by the installation.")
foreach(service ${services})
    string(TOUPPER ${service} name)
    set(CPACK_DEBIAN_${name}_PACKAGE_NAME ${service})
    set(CPACK_DEBIAN_${name}_PACKAGE_ARCHITECTURE all)
    set(CPACK_DEBIAN_${name}_PACKAGE_DEPENDS "tcpgreet (>= ${PROJECT_VERSION})")
    string(REPLACE ";" " " units "${${service}_units}")
    set(scripts "${PROJECT_BINARY_DIR}/debian/${service}")
    foreach(script postinst prerm postrm)
        configure_file(packaging/debian/${script}.in "${scripts}/${script}" @ONLY)
    endforeach()
    set(CPACK_DEBIAN_${name}_PACKAGE_CONTROL_EXTRA "${scripts}/postinst" "${scripts}/prerm" "${scripts}/postrm")
endforeach()
include(CPack)
