# Abseil, mimalloc, zlib and nlohmann/json, from the archives that third_party/sources.bzl pins.

# Installed below a folder of their own: another Abseil may lie in the same prefix.
set(TENURE_THIRD_PARTY_LIBDIR "${CMAKE_INSTALL_LIBDIR}/tenure")
set(TENURE_THIRD_PARTY_INCLUDEDIR "${CMAKE_INSTALL_LIBDIR}/tenure/include")

# Fails if the Abseil that was found has types of its own in the place of the standard's.
function(tenure_check_system_absl)
  set(CMAKE_TRY_COMPILE_TARGET_TYPE STATIC_LIBRARY)
  try_compile(TENURE_SYSTEM_ABSL_FITS "${PROJECT_BINARY_DIR}/abseil_check"
    "${PROJECT_SOURCE_DIR}/build_defs/cmake/abseil_check.cc"
    LINK_LIBRARIES absl::strings absl::optional CXX_STANDARD 20 CXX_STANDARD_REQUIRED ON
    OUTPUT_VARIABLE said)
  if(NOT TENURE_SYSTEM_ABSL_FITS)
    message(FATAL_ERROR "The Abseil in ${absl_DIR} does not fit: it must be built as C++17 or newer, so that its "
      "string_view is the standard's. Leave TENURE_USE_SYSTEM_ABSL off to use the one of third_party/sources.bzl.\n"
      "${said}")
  endif()
endfunction()

# The embedding project's Abseil is used if it has one.
set(TENURE_OWN_ABSL OFF)
if(NOT TARGET absl::base)
  if(TENURE_USE_SYSTEM_ABSL)
    find_package(absl REQUIRED)
    tenure_check_system_absl()
  else()
    set(TENURE_OWN_ABSL ON)
  endif()
endif()

set(TENURE_THIRD_PARTY "${PROJECT_BINARY_DIR}/third_party")
set(names mimalloc zlib nlohmann_json)
if(TENURE_OWN_ABSL)
  list(APPEND names com_google_absl)
endif()
set(options --into "${TENURE_THIRD_PARTY}")
if(TENURE_ARCHIVES)
  list(APPEND options --archives "${TENURE_ARCHIVES}")
endif()
execute_process(
  COMMAND "${Python3_EXECUTABLE}" -B "${PROJECT_SOURCE_DIR}/build_defs/cmake/third_party.py" ${options} ${names}
  RESULT_VARIABLE result)
if(result)
  message(FATAL_ERROR "The third-party sources of tenure are not all there.")
endif()
set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS
  "${PROJECT_SOURCE_DIR}/third_party/sources.bzl" "${PROJECT_SOURCE_DIR}/build_defs/cmake/third_party.py")

set(TENURE_JSON_INCLUDE "${TENURE_THIRD_PARTY}/nlohmann_json/single_include")

# src/static.c is all of mimalloc. Without MI_MALLOC_OVERRIDE, malloc and operator new stay what they were.
add_library(tenure_mimalloc STATIC EXCLUDE_FROM_ALL "${TENURE_THIRD_PARTY}/mimalloc/src/static.c")
target_include_directories(tenure_mimalloc SYSTEM PUBLIC
  "$<BUILD_INTERFACE:${TENURE_THIRD_PARTY}/mimalloc/include>")
# Its own default is its slow full check wherever NDEBUG is not defined.
target_compile_definitions(tenure_mimalloc PRIVATE "MI_DEBUG=$<IF:$<CONFIG:Debug>,1,0>")
target_compile_options(tenure_mimalloc PRIVATE -w)
target_link_libraries(tenure_mimalloc PRIVATE Threads::Threads)

file(GLOB sources "${TENURE_THIRD_PARTY}/zlib/*.c")
add_library(tenure_zlib STATIC EXCLUDE_FROM_ALL ${sources})
target_include_directories(tenure_zlib SYSTEM PUBLIC "$<BUILD_INTERFACE:${TENURE_THIRD_PARTY}/zlib>")
target_compile_definitions(tenure_zlib PRIVATE HAVE_UNISTD_H _LARGEFILE64_SOURCE=1)
target_compile_options(tenure_zlib PRIVATE -w)

# In a function, because it sets variables that Abseil reads.
function(tenure_add_absl)
  set(ABSL_ENABLE_INSTALL OFF)
  set(ABSL_PROPAGATE_CXX_STD ON)
  set(BUILD_SHARED_LIBS OFF)
  set(BUILD_TESTING OFF)
  set(CMAKE_INSTALL_INCLUDEDIR "${TENURE_THIRD_PARTY_INCLUDEDIR}")
  string(APPEND CMAKE_CXX_FLAGS " -w")
  set(CMAKE_UNITY_BUILD OFF)
  set(CMAKE_WARN_DEPRECATED OFF)
  set(CMAKE_POLICY_DEFAULT_CMP0077 NEW)
  add_subdirectory("${TENURE_THIRD_PARTY}/com_google_absl" "${PROJECT_BINARY_DIR}/absl" EXCLUDE_FROM_ALL)
endfunction()
if(TENURE_OWN_ABSL)
  tenure_add_absl()
endif()
