#version 450
// c = c·s + t in registers, nothing else: what multiplies and adds a device does a second, to state other rates beside.
#extension GL_EXT_control_flow_attributes : require
layout(local_size_x_id = 0) in;
layout(constant_id = 0) const uint LANES = 8;

layout(std430, binding = 0) writeonly buffer YStorage { vec4 y[]; };

layout(push_constant) uniform Push {
    uint groupBase;
    uint rounds;  // of 64 · 3 · 4 multiplies and as many adds in every invocation
    float s, t;
} push;

void main() {
    uint index = (gl_WorkGroupID.x + push.groupBase) * LANES + gl_LocalInvocationID.x;
    float s = push.s, t = push.t;
    // Twelve independent sums hide the latency of a multiply and an add, and fit sixteen registers.
    vec4 c[3];
    for (uint i = 0; i < 3; i++) c[i] = vec4(index + i) + vec4(0, 1, 2, 3);
    for (uint round = 0; round < push.rounds; round++)
        [[unroll]] for (uint step = 0; step < 64; step++)
            [[unroll]] for (uint i = 0; i < 3; i++) c[i] = c[i] * s + t;
    y[index] = c[0] + c[1] + c[2];
}
