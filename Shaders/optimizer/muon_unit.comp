// x /= max(‖x‖, 1e-7), the Frobenius norm by the trace of x·xᵀ (or xᵀ·x), which is there. A workgroup has CHUNK vec4.
#version 450
//! variants FAMILY = SUBGROUP SHARED
#include "lib/reduce.glsl"

layout(constant_id = 1) const uint CHUNK = 256;

layout(std430, binding = 0) buffer X { vec4 x[]; };
layout(std430, binding = 1) readonly buffer Gram { float gram[]; }; // (K, K)

layout(push_constant) uniform Push {
    uint groupBase;
    uint count4;
    uint width; // K
} push;

void main() {
    float trace = 0;
    for (uint i = LANE; i < push.width; i += LANES) trace += gram[i * push.width + i];
    float factor = 1.0 / max(sqrt(groupSum(trace)), 1e-7);
    uint start = (gl_WorkGroupID.x + push.groupBase) * CHUNK;
    uint end = min(start + CHUNK, push.count4);
    for (uint i = start + LANE; i < end; i += LANES) x[i] *= factor;
}
