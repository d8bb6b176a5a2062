# Vulkan's headers, the CUDA toolkit's headers, and shaders as data of the program. As with Bazel, neither
# libvulkan nor libcuda is linked: both are opened at run time.

find_path(TENURE_VULKAN_INCLUDE vulkan/vulkan.h
  HINTS "$ENV{TENURE_DEPS_PREFIX}/include" "$ENV{VULKAN_SDK}/include")
if(NOT TENURE_VULKAN_INCLUDE)
  message(FATAL_ERROR "tenure needs the header vulkan/vulkan.h. On Debian or Ubuntu: apt-get install libvulkan-dev")
endif()

# The same places as build_defs/cuda_configure.bzl.
set(TENURE_HAVE_CUDA OFF)
if(TENURE_CUDA)
  find_program(TENURE_NVCC nvcc)
  set(roots "$ENV{CUDA_HOME}" "$ENV{CUDA_PATH}" /usr/local/cuda)
  if(TENURE_NVCC)
    get_filename_component(root "${TENURE_NVCC}" REALPATH)
    get_filename_component(root "${root}" DIRECTORY)
    get_filename_component(root "${root}" DIRECTORY)
    list(APPEND roots "${root}")
  endif()
  list(REMOVE_ITEM roots "")
  find_path(TENURE_CUDA_INCLUDE cuda.h
    HINTS ${roots} PATH_SUFFIXES include targets/x86_64-linux/include targets/sbsa-linux/include)
  if(TENURE_CUDA_INCLUDE)
    set(TENURE_HAVE_CUDA ON)
  endif()
endif()

# A compiler of GLSL to SPIR-V, as in build_defs/spirv_configure.bzl.
set(TENURE_GLSL "")
if(TENURE_SPIRV)
  set(TENURE_WHY_NO_SPIRV "neither glslangValidator nor glslc was found (looked in VULKAN_SDK and PATH)")
  find_program(TENURE_GLSLANG_VALIDATOR glslangValidator HINTS "$ENV{VULKAN_SDK}/bin")
  find_program(TENURE_GLSLC glslc HINTS "$ENV{VULKAN_SDK}/bin")
  foreach(program "${TENURE_GLSLANG_VALIDATOR};--quiet;--target-env;vulkan1.2" "${TENURE_GLSLC};--target-env=vulkan1.2;-O")
    list(GET program 0 path)
    if(path AND NOT TENURE_GLSL)
      # A compiler that is there may be too old for buffer references.
      execute_process(
        COMMAND ${program} -o "${PROJECT_BINARY_DIR}/probe.spv" "${PROJECT_SOURCE_DIR}/build_defs/cmake/probe.comp"
        RESULT_VARIABLE result OUTPUT_VARIABLE said ERROR_VARIABLE said)
      if(result EQUAL 0)
        set(TENURE_GLSL ${program})
      else()
        string(REGEX REPLACE "\n.*" "" said "${said}")
        set(TENURE_WHY_NO_SPIRV "${path} does not work here: ${said}")
      endif()
    endif()
  endforeach()
else()
  set(TENURE_WHY_NO_SPIRV "TENURE_SPIRV was off")
endif()
string(REPLACE "'" "" TENURE_WHY_NO_SPIRV "${TENURE_WHY_NO_SPIRV}")

# tenure_spirv_shaders(LABEL SOURCES ... HEADERS ...): what spirv_shaders of build_defs/spirv.bzl makes.
function(tenure_spirv_shaders label)
  cmake_parse_arguments(PARSE_ARGV 1 arg "" "" "SOURCES;HEADERS")
  string(REGEX REPLACE "^//(.*):(.*)$" "\\1;\\2" parts "${label}")
  list(GET parts 0 package)
  list(GET parts 1 name)
  set(out "${TENURE_GENERATED}/tenure/${package}/${name}")
  file(MAKE_DIRECTORY "${TENURE_GENERATED}/tenure/${package}")
  list(TRANSFORM arg_HEADERS PREPEND "${PROJECT_SOURCE_DIR}/" OUTPUT_VARIABLE headers)

  set(images "")
  set(functions "")
  set(options "")
  foreach(source IN LISTS arg_SOURCES)
    # my_fill.comp becomes MyFillShader.
    get_filename_component(base "${source}" NAME_WE)
    string(REPLACE "_" ";" words "${base}")
    set(function "")
    foreach(word IN LISTS words)
      string(SUBSTRING "${word}" 0 1 first)
      string(SUBSTRING "${word}" 1 -1 rest)
      string(TOUPPER "${first}" first)
      string(APPEND function "${first}${rest}")
    endforeach()
    if(TENURE_GLSL)
      set(image "${out}_${base}.spv")
      add_custom_command(
        OUTPUT "${image}"
        COMMAND ${TENURE_GLSL} "-I${PROJECT_SOURCE_DIR}" -o "${image}" "${PROJECT_SOURCE_DIR}/${source}"
        DEPENDS "${PROJECT_SOURCE_DIR}/${source}" ${headers}
        COMMENT "Compiling the shader ${source}"
        VERBATIM)
      list(APPEND images "${image}")
      list(APPEND functions "${function}Shader=${image}")
    else()
      list(APPEND functions "${function}Shader=")
    endif()
  endforeach()
  if(NOT TENURE_GLSL)
    set(options "--why_missing=${TENURE_WHY_NO_SPIRV}")
  endif()
  set(embed "${PROJECT_SOURCE_DIR}/build_defs/embed_images.py")
  add_custom_command(
    OUTPUT "${out}.h" "${out}.cc"
    COMMAND "${Python3_EXECUTABLE}" "${embed}" "--header=${out}.h" "--source=${out}.cc"
      "--include=tenure/${package}/${name}.h" --namespace=tenure::vulkan ${options} ${functions}
    DEPENDS "${embed}" ${images}
    COMMENT "Embedding ${label}"
    VERBATIM)
  target_sources(tenure PRIVATE "${out}.cc" "${out}.h")
endfunction()
