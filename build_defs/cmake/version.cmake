# TENURE_VERSION, from base/version.h.

set(TENURE_VERSION_HEADER "${CMAKE_CURRENT_LIST_DIR}/../../base/version.h")
file(STRINGS "${TENURE_VERSION_HEADER}" TENURE_VERSION REGEX "string_view kVersion = ")
string(REGEX REPLACE "^.*\"([0-9.]+)\".*$" "\\1" TENURE_VERSION "${TENURE_VERSION}")
if(NOT TENURE_VERSION MATCHES "^[0-9]+[.][0-9]+[.][0-9]+$")
  message(FATAL_ERROR "${TENURE_VERSION_HEADER} names no version.")
endif()
