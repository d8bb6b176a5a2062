# What comes before the lists of sources in CMakeLists.txt: options, what must be on the machine, the target
# tenure, and the functions that the lists call.

include(GNUInstallDirs)

set(TENURE_IS_TOP OFF)
if(CMAKE_SOURCE_DIR STREQUAL PROJECT_SOURCE_DIR)
  set(TENURE_IS_TOP ON)
endif()

option(TENURE_INSTALL "Install the libraries and their headers" ${TENURE_IS_TOP})
option(TENURE_JOINED "Compile the sources of each Bazel target as one, in about a third of the time" ON)
option(TENURE_CUDA "Use the CUDA toolkit's headers if they are found" ON)
option(TENURE_SPIRV "Compile shaders if glslangValidator or glslc is found" ON)
option(TENURE_USE_SYSTEM_ABSL "Take Abseil from find_package(absl), built as C++17 or newer" OFF)
set(TENURE_ARCHIVES "" CACHE PATH
  "Folder with the third-party archives; empty: where tools/dev/fetch_sources puts them")
foreach(name CUDA SPIRV)  # as for Bazel
  if("$ENV{TENURE_${name}}" STREQUAL "0")
    set(TENURE_${name} OFF)
  endif()
endforeach()

if(TENURE_IS_TOP AND NOT CMAKE_BUILD_TYPE AND NOT CMAKE_CONFIGURATION_TYPES)
  set(CMAKE_BUILD_TYPE Release CACHE STRING "Debug, Release, RelWithDebInfo or MinSizeRel" FORCE)
endif()
set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS "${TENURE_VERSION_HEADER}")

find_package(Threads REQUIRED)
find_package(Python3 3.9 REQUIRED COMPONENTS Interpreter)

include(build_defs/cmake/third_party.cmake)
include(build_defs/cmake/gpu.cmake)

# Headers are included as "tenure/<folder>/<file>.h": by way of a link to the sources, and generated ones from
# a folder of their own.
set(TENURE_INCLUDE "${PROJECT_BINARY_DIR}/include")
set(TENURE_GENERATED "${PROJECT_BINARY_DIR}/generated")
file(MAKE_DIRECTORY "${TENURE_INCLUDE}")
file(CREATE_LINK "${PROJECT_SOURCE_DIR}" "${TENURE_INCLUDE}/tenure" SYMBOLIC)

add_library(tenure STATIC build_defs/cmake/abseil_check.cc)
add_library(tenure::tenure ALIAS tenure)
target_compile_features(tenure PUBLIC cxx_std_20)
target_include_directories(tenure
  PUBLIC "$<BUILD_INTERFACE:${TENURE_INCLUDE}>" "$<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>"
  PRIVATE "${TENURE_GENERATED}")
target_include_directories(tenure SYSTEM
  PUBLIC "$<BUILD_INTERFACE:${TENURE_JSON_INCLUDE}>" "$<INSTALL_INTERFACE:${TENURE_THIRD_PARTY_INCLUDEDIR}>"
  PRIVATE "${TENURE_VULKAN_INCLUDE}")
if(TENURE_OWN_ABSL)
  # Its headers are system headers to programs, so that they show none of its warnings.
  target_include_directories(tenure SYSTEM PUBLIC "$<BUILD_INTERFACE:${TENURE_THIRD_PARTY}/com_google_absl>")
endif()
# Files that are no headers are included by their path from the top.
target_compile_options(tenure PRIVATE "SHELL:-iquote \"${PROJECT_SOURCE_DIR}\"")
target_compile_definitions(tenure PRIVATE VK_NO_PROTOTYPES)
target_link_libraries(tenure PUBLIC Threads::Threads PRIVATE tenure_mimalloc tenure_zlib ${CMAKE_DL_LIBS})
# libtenure is the library for C.
set_target_properties(tenure PROPERTIES
  OUTPUT_NAME tenure_cc
  UNITY_BUILD ${TENURE_JOINED}
  UNITY_BUILD_MODE GROUP)
if(TENURE_HAVE_CUDA)
  target_include_directories(tenure SYSTEM PRIVATE "${TENURE_CUDA_INCLUDE}")
  target_compile_definitions(tenure PRIVATE TENURE_HAVE_CUDA=1)
else()
  target_compile_definitions(tenure PRIVATE TENURE_HAVE_CUDA=0)
endif()

# tenure_use_absl(TARGETS...): the library uses these targets of Abseil.
function(tenure_use_absl)
  foreach(name IN LISTS ARGN)
    if(NOT TARGET ${name})
      message(FATAL_ERROR "tenure needs ${name}, which the Abseil that is used here does not have.")
    endif()
  endforeach()
  target_link_libraries(tenure PUBLIC ${ARGN})
  set(TENURE_ABSL_TARGETS ${ARGN} PARENT_SCOPE)
endfunction()

# tenure_cc_library(LABEL SOURCES ... APART ...): the sources of a Bazel target. APART are those that are
# compiled by themselves, whatever TENURE_JOINED says.
function(tenure_cc_library label)
  cmake_parse_arguments(PARSE_ARGV 1 arg "" "" "SOURCES;APART")
  target_sources(tenure PRIVATE ${arg_SOURCES} ${arg_APART})
  string(MAKE_C_IDENTIFIER "${label}" group)
  set_source_files_properties(${arg_SOURCES} PROPERTIES UNITY_GROUP "${group}")
endfunction()

# tenure_c_library(SOURCES ... HEADERS ... SYMBOLS FILE): the shared library for C. It shows the symbols of the
# linker's version script FILE alone, and needs libc and libm only.
function(tenure_c_library)
  cmake_parse_arguments(PARSE_ARGV 0 arg "" "SYMBOLS" "SOURCES;HEADERS")
  add_library(tenure_c SHARED ${arg_SOURCES})
  add_library(tenure::c ALIAS tenure_c)
  target_include_directories(tenure_c
    PUBLIC "$<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/c/include>" "$<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>")
  target_link_libraries(tenure_c PRIVATE tenure)
  target_link_options(tenure_c PRIVATE
    "-Wl,--version-script=${PROJECT_SOURCE_DIR}/${arg_SYMBOLS}" "-Wl,--exclude-libs,ALL"
    -static-libstdc++ -static-libgcc)
  set_target_properties(tenure_c PROPERTIES
    C_VISIBILITY_PRESET hidden
    CXX_VISIBILITY_PRESET hidden
    VISIBILITY_INLINES_HIDDEN ON
    EXPORT_NAME c
    LINK_DEPENDS "${PROJECT_SOURCE_DIR}/${arg_SYMBOLS}"
    OUTPUT_NAME tenure
    SOVERSION ${PROJECT_VERSION_MAJOR}
    VERSION ${PROJECT_VERSION})
  set(TENURE_C_HEADERS ${arg_HEADERS} PARENT_SCOPE)
endfunction()

# tenure_headers(FILES...): what is installed.
function(tenure_headers)
  set(TENURE_HEADERS ${ARGN} PARENT_SCOPE)
endfunction()
