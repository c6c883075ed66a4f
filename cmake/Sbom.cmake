# A software bill of materials in SPDX 2.3: the program, and the libraries that it is linked with or loads. A part of the build; also
# the script that writes it then: cmake -DOUTPUT=… -P Sbom.cmake.
if(NOT CMAKE_SCRIPT_MODE_FILE)
    set(sbom "${PROJECT_BINARY_DIR}/tcpgreet.spdx.json")
    set(libraries "libuv ${LIBUV_VERSION} MIT linked")
    foreach(library "IDN2 libidn2 LGPL-3.0-or-later idn_library" "PCRE2 pcre2 BSD-3-Clause" "JANSSON jansson MIT"
            "MICROHTTPD libmicrohttpd LGPL-2.1-or-later microhttpd_library" "OPENSSL openssl Apache-2.0"
            "SECCOMP libseccomp LGPL-2.1-only seccomp_library")
        string(REPLACE " " ";" library "${library}")
        list(GET library 0 variable)
        list(GET library 1 name)
        list(GET library 2 licence)
        list(LENGTH library length)
        set(how linked)
        if(length GREATER 3)
            list(GET library 3 run_time_name)
            if(${run_time_name})
                set(how loaded)
            endif()
        endif()
        if(${variable}_FOUND)
            list(APPEND libraries "${name} ${${variable}_VERSION} ${licence} ${how}")
        endif()
    endforeach()
    execute_process(COMMAND ${CMAKE_C_COMPILER} -dM -E -include stdlib.h -x c /dev/null OUTPUT_VARIABLE macros ERROR_QUIET)
    if(macros MATCHES "#define __GLIBC__ ([0-9]+)" )
        set(glibc ${CMAKE_MATCH_1})
        string(REGEX MATCH "#define __GLIBC_MINOR__ ([0-9]+)" minor "${macros}")
        list(APPEND libraries "glibc ${glibc}.${CMAKE_MATCH_1} LGPL-2.1-or-later linked")
    endif()
    set(link DYNAMIC_LINK)
    if(TCPGREET_STATIC)
        set(link STATIC_LINK)
    endif()
    add_custom_command(OUTPUT "${sbom}" DEPENDS tcpgreet "${CMAKE_CURRENT_LIST_FILE}" VERBATIM
        COMMAND ${CMAKE_COMMAND} -DOUTPUT=${sbom} -DVERSION=${PROJECT_VERSION}
            -DLINK=${link} "-DLIBRARIES=${libraries}" -DSOURCE=${PROJECT_SOURCE_DIR} -P "${CMAKE_CURRENT_LIST_FILE}")
    add_custom_target(sbom ALL DEPENDS "${sbom}")
    return()
endif()

cmake_minimum_required(VERSION 3.20)

# The time of the last change, so that two builds of it are the same; SOURCE_DATE_EPOCH is what string(TIMESTAMP) takes.
if(NOT DEFINED ENV{SOURCE_DATE_EPOCH})
    execute_process(COMMAND git -C "${SOURCE}" log -1 --format=%ct OUTPUT_VARIABLE time OUTPUT_STRIP_TRAILING_WHITESPACE
        ERROR_QUIET RESULT_VARIABLE failed)
    if(NOT failed)
        set(ENV{SOURCE_DATE_EPOCH} ${time})
    endif()
endif()
string(TIMESTAMP created "%Y-%m-%dT%H:%M:%SZ" UTC)
string(SHA256 identity "${VERSION} ${LINK} ${LIBRARIES} ${created}")

set(packages "")
set(relationships "")
foreach(library ${LIBRARIES})
    string(REPLACE " " ";" library "${library}")
    list(GET library 0 name)
    list(GET library 1 version)
    list(GET library 2 licence)
    list(GET library 3 how)
    set(element tcpgreet)
    set(relation ${LINK})
    set(related ${name})
    if(how STREQUAL loaded) # by those runs that need it
        set(element ${name})
        set(relation OPTIONAL_DEPENDENCY_OF)
        set(related tcpgreet)
    endif()
    string(APPEND packages ",
    {
      \"SPDXID\": \"SPDXRef-${name}\",
      \"name\": \"${name}\",
      \"versionInfo\": \"${version}\",
      \"primaryPackagePurpose\": \"LIBRARY\",
      \"downloadLocation\": \"NOASSERTION\",
      \"filesAnalyzed\": false,
      \"licenseDeclared\": \"${licence}\",
      \"externalRefs\": [
        {
          \"referenceCategory\": \"PACKAGE-MANAGER\",
          \"referenceType\": \"purl\",
          \"referenceLocator\": \"pkg:generic/${name}@${version}\"
        }
      ]
    }")
    string(APPEND relationships ",
    {
      \"spdxElementId\": \"SPDXRef-${element}\",
      \"relationshipType\": \"${relation}\",
      \"relatedSpdxElement\": \"SPDXRef-${related}\"
    }")
endforeach()

file(WRITE "${OUTPUT}" "{
  \"spdxVersion\": \"SPDX-2.3\",
  \"dataLicense\": \"CC0-1.0\",
  \"SPDXID\": \"SPDXRef-DOCUMENT\",
  \"name\": \"tcpgreet-${VERSION}\",
  \"documentNamespace\": \"https://spdx.org/spdxdocs/tcpgreet-${VERSION}-${identity}\",
  \"creationInfo\": {
    \"created\": \"${created}\",
    \"creators\": [\"Tool: tcpgreet-build-${VERSION}\"]
  },
  \"packages\": [
    {
      \"SPDXID\": \"SPDXRef-tcpgreet\",
      \"name\": \"tcpgreet\",
      \"versionInfo\": \"${VERSION}\",
      \"primaryPackagePurpose\": \"APPLICATION\",
      \"downloadLocation\": \"NOASSERTION\",
      \"filesAnalyzed\": false,
      \"licenseDeclared\": \"MIT\",
      \"copyrightText\": \"Copyright (c) 2026 The tcpgreet authors\"
    }${packages}
  ],
  \"relationships\": [
    {
      \"spdxElementId\": \"SPDXRef-DOCUMENT\",
      \"relationshipType\": \"DESCRIBES\",
      \"relatedSpdxElement\": \"SPDXRef-tcpgreet\"
    }${relationships}
  ]
}
")
