// y = Σ_p parts[p], plus `old`, in the order of the parts: what workgroups computed of sums that are shared out. Rows of y may lie apart,
// those of a part do not. An invocation owns four columns; eight parts are under way.
#version 450
#extension GL_EXT_control_flow_attributes : require

layout(local_size_x_id = 0) in;
layout(constant_id = 0) const uint LANES = 64;
layout(constant_id = 1) const bool ACCUMULATE = false;

layout(push_constant) uniform Push {
    uint groupBase;
    uint rows;
    uint width, yPitch, yOffset;  // in runs of four floats
    uint parts;
} push;

layout(std430, binding = 0) writeonly buffer YStorage { vec4 y[]; };        // (rows, width)
layout(std430, binding = 1) readonly buffer OldStorage { vec4 old[]; };     // as y
layout(std430, binding = 2) readonly buffer PartStorage { vec4 parts[]; };  // (parts, rows, width)

const uint AHEAD = 8;

void main() {
    uint i = (gl_WorkGroupID.x + push.groupBase) * LANES + gl_LocalInvocationID.x, count = push.rows * push.width;
    if (i >= count) return;
    vec4 sum = vec4(0);
    for (uint first = 0; first < push.parts; first += AHEAD) {
        vec4 next[AHEAD];
        [[unroll]] for (uint p = 0; p < AHEAD; p++) next[p] = parts[min(first + p, push.parts - 1) * count + i];
        [[unroll]] for (uint p = 0; p < AHEAD; p++)
            if (first + p < push.parts) sum += next[p];
    }
    uint at = i / push.width * push.yPitch + push.yOffset + i % push.width;
    y[at] = ACCUMULATE ? old[at] + sum : sum;
}
