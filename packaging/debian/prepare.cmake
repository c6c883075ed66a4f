# What Debian expects that other systems do not: run by cpack before it makes the packages (CPACK_PRE_BUILD_SCRIPTS).
if(DEFINED ENV{SOURCE_DATE_EPOCH})
    set(time $ENV{SOURCE_DATE_EPOCH})
else()
    string(TIMESTAMP time "%s" UTC)
endif()
execute_process(COMMAND date -u -R -d "@${time}" OUTPUT_VARIABLE date OUTPUT_STRIP_TRAILING_WHITESPACE
    COMMAND_ERROR_IS_FATAL ANY)

foreach(package ${CPACK_COMPONENTS_ALL})
    set(root "${CPACK_TEMPORARY_INSTALL_DIRECTORY}/${package}")
    set(doc "${root}/usr/share/doc/${package}")
    file(MAKE_DIRECTORY "${doc}")
    file(COPY_FILE "${CMAKE_CURRENT_LIST_DIR}/copyright" "${doc}/copyright")
    file(WRITE "${doc}/changelog.Debian" "tcpgreet (${CPACK_PACKAGE_VERSION}-1) unstable; urgency=medium

  * See changelog.gz of tcpgreet for what changed.

 -- ${CPACK_PACKAGE_CONTACT}  ${date}
")
    if(EXISTS "${doc}/CHANGELOG.md")
        file(RENAME "${doc}/CHANGELOG.md" "${doc}/changelog")
        file(REMOVE "${doc}/LICENSE") # copyright has it
    endif()
    file(GLOB compressed "${doc}/changelog*" "${root}/usr/share/man/man1/*.1")
    file(WRITE "${root}/usr/share/lintian/overrides/${package}"
        "# Not uploaded to Debian\n${package}: initial-upload-closes-no-bugs *\n")
    file(CHMOD_RECURSE "${root}/usr/share/doc" "${root}/usr/share/lintian"
        FILE_PERMISSIONS OWNER_READ OWNER_WRITE GROUP_READ WORLD_READ
        DIRECTORY_PERMISSIONS OWNER_READ OWNER_WRITE OWNER_EXECUTE GROUP_READ GROUP_EXECUTE WORLD_READ WORLD_EXECUTE)
    execute_process(COMMAND gzip -9nf ${compressed} COMMAND_ERROR_IS_FATAL ANY)
    execute_process(COMMAND find "${root}" -exec touch -h -d "@${time}" {} + COMMAND_ERROR_IS_FATAL ANY)
endforeach()
