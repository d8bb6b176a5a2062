// Memory by device address, for compute shaders whose operands are all push constants.
//
//   uvec4 v = VectorAt(address).value;
//
// A shader that includes this needs the features shaderInt64, shaderInt8, storageBuffer8BitAccess
// and bufferDeviceAddress. Work is spread by grid strides, so any number of workgroups gives the
// same result.

#extension GL_EXT_buffer_reference : require
#extension GL_EXT_control_flow_attributes : require
#extension GL_EXT_shader_explicit_arithmetic_types_int64 : require
#extension GL_EXT_shader_explicit_arithmetic_types_int8 : require

// Every device has workgroups of this size; ComputePipeline::kThreads is the same number.
layout(local_size_x = 128) in;

// A byte, half a word, a word, and two words.
layout(buffer_reference, std430, buffer_reference_align = 1) buffer ByteAt { uint8_t value; };
layout(buffer_reference, std430, buffer_reference_align = 4) buffer HalfAt { uint value; };
layout(buffer_reference, std430, buffer_reference_align = 8) buffer WordAt { uint64_t value; };
layout(buffer_reference, std430, buffer_reference_align = 16) buffer VectorAt { uvec4 value; };

uint64_t Thread() { return uint64_t(gl_GlobalInvocationID.x); }
uint64_t Threads() { return uint64_t(gl_NumWorkGroups.x) * gl_WorkGroupSize.x; }
