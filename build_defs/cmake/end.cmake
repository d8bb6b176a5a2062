# What comes after the lists of sources in CMakeLists.txt: installing.

if(NOT TENURE_INSTALL)
  return()
endif()
include(CMakePackageConfigHelpers)

# tenure_closure(RESULT TARGETS...): the libraries that are built here and that TARGETS link, themselves too.
function(tenure_closure result)
  set(found "")
  set(open ${ARGN})
  while(open)
    list(POP_FRONT open name)
    if(NOT TARGET ${name})
      continue()  # an option of the linker, or a library of the system
    endif()
    get_target_property(aliased ${name} ALIASED_TARGET)
    if(aliased)
      set(name ${aliased})
    endif()
    get_target_property(imported ${name} IMPORTED)
    if(imported OR name IN_LIST found)
      continue()
    endif()
    list(APPEND found ${name})
    get_target_property(links ${name} INTERFACE_LINK_LIBRARIES)
    if(NOT links)
      continue()
    endif()
    foreach(link IN LISTS links)
      string(REGEX REPLACE "^[$]<LINK_ONLY:(.*)>$" "\\1" link "${link}")
      list(APPEND open ${link})
    endforeach()
  endwhile()
  set(${result} ${found} PARENT_SCOPE)
endfunction()

set(third_party tenure_mimalloc tenure_zlib)
if(TENURE_OWN_ABSL)
  tenure_closure(absl ${TENURE_ABSL_TARGETS})
  list(APPEND third_party ${absl})
  install(DIRECTORY "${TENURE_THIRD_PARTY}/com_google_absl/absl" DESTINATION "${TENURE_THIRD_PARTY_INCLUDEDIR}"
    FILES_MATCHING PATTERN "*.h" PATTERN "*.inc" PATTERN testdata EXCLUDE)
endif()
install(DIRECTORY "${TENURE_JSON_INCLUDE}/nlohmann" DESTINATION "${TENURE_THIRD_PARTY_INCLUDEDIR}")
install(TARGETS ${third_party} EXPORT tenureTargets ARCHIVE DESTINATION "${TENURE_THIRD_PARTY_LIBDIR}")
install(TARGETS tenure EXPORT tenureTargets ARCHIVE DESTINATION "${CMAKE_INSTALL_LIBDIR}")

foreach(header IN LISTS TENURE_HEADERS)
  get_filename_component(folder "${header}" DIRECTORY)
  install(FILES "${header}" DESTINATION "${CMAKE_INSTALL_INCLUDEDIR}/tenure/${folder}")
endforeach()

if(TARGET tenure_c)
  # A component of its own, for those who want nothing of C++: cmake --install build --component tenure_c
  install(TARGETS tenure_c EXPORT tenureTargets
    LIBRARY DESTINATION "${CMAKE_INSTALL_LIBDIR}" COMPONENT tenure_c)
  install(FILES ${TENURE_C_HEADERS} DESTINATION "${CMAKE_INSTALL_INCLUDEDIR}/tenure" COMPONENT tenure_c)
  # Relative, so that what is installed may be moved.
  file(RELATIVE_PATH TENURE_PC_INCLUDE
    "${CMAKE_INSTALL_FULL_LIBDIR}/pkgconfig" "${CMAKE_INSTALL_FULL_INCLUDEDIR}")
  configure_file(build_defs/cmake/tenure.pc.in "${PROJECT_BINARY_DIR}/tenure.pc" @ONLY)
  install(FILES "${PROJECT_BINARY_DIR}/tenure.pc" DESTINATION "${CMAKE_INSTALL_LIBDIR}/pkgconfig"
    COMPONENT tenure_c)
endif()

set(TENURE_CONFIGDIR "${CMAKE_INSTALL_LIBDIR}/cmake/tenure")
install(EXPORT tenureTargets NAMESPACE tenure:: DESTINATION "${TENURE_CONFIGDIR}")
configure_package_config_file(build_defs/cmake/tenureConfig.cmake.in "${PROJECT_BINARY_DIR}/tenureConfig.cmake"
  INSTALL_DESTINATION "${TENURE_CONFIGDIR}")
# While the major version is 0, a new minor version may break programs.
write_basic_package_version_file("${PROJECT_BINARY_DIR}/tenureConfigVersion.cmake" COMPATIBILITY SameMinorVersion)
install(FILES "${PROJECT_BINARY_DIR}/tenureConfig.cmake" "${PROJECT_BINARY_DIR}/tenureConfigVersion.cmake"
  DESTINATION "${TENURE_CONFIGDIR}")
