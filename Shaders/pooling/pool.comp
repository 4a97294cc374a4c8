// The mean of the rows of each sequence: y[s] = Σ x[r] / (end − start) over start ≤ r < end, a sequence a workgroup. More rows than one
// binding holds come in spans, a dispatch a span, and are added to what is there.
#version 450
//! variants FAMILY = TEXEL SHARED
#include "lib/load.glsl"

layout(local_size_x_id = 0) in;
layout(constant_id = 0) const uint LANES = 8;

OUTPUT4(0, y);                                                         // (S, C)
INPUT4(1, x);                                                          // (n, C)
layout(std430, binding = 2) readonly buffer Ranges { ivec2 ranges[]; }; // (S): start, end
INPUT4(3, before);                                                     // (S, C): y itself

layout(push_constant) uniform Push {
    uint groupBase;
    uint width4;        // C / 4
    uint firstSequence; // of this span of y
    uint firstRow;      // of this span of x
    uint spanRows;
} push;

void main() {
    uint sequence = gl_WorkGroupID.x + push.groupBase;
    ivec2 range = ranges[push.firstSequence + sequence];
    int start = max(range.x - int(push.firstRow), 0), end = min(range.y - int(push.firstRow), int(push.spanRows));
    if (start >= end) return;
    float share = 1.0 / float(range.y - range.x);
    for (uint i = gl_LocalInvocationID.x; i < push.width4; i += LANES) {
        vec4 sum = vec4(0);
        for (int row = start; row < end; ++row) sum += LOAD4(x, uint(row) * push.width4 + i);
        uint at = sequence * push.width4 + i;
        STORE4(y, at, LOAD4(before, at) + sum * share);
    }
}
