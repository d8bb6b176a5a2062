#version 460
#extension GL_EXT_buffer_reference : require
#extension GL_EXT_shader_explicit_arithmetic_types_int64 : require
layout(local_size_x = 1) in;
layout(buffer_reference, std430) buffer Word { uint64_t value; };
layout(push_constant) uniform Push { uint64_t address; };
void main() { Word(address).value = 1; }
