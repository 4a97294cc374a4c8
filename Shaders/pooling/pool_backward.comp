// The gradient of means of rows: dx[r] = dy[s] / (end − start) for start ≤ r < end, a sequence a workgroup. Rows of no sequence keep the
// zeros that dx was filled with.
#version 450
//! variants FAMILY = TEXEL SHARED
#include "lib/load.glsl"

layout(local_size_x_id = 0) in;
layout(constant_id = 0) const uint LANES = 8;

OUTPUT4(0, dx);                                                        // (n, C)
INPUT4(1, dy);                                                         // (S, C)
layout(std430, binding = 2) readonly buffer Ranges { ivec2 ranges[]; }; // (S): start, end

layout(push_constant) uniform Push {
    uint groupBase;
    uint width4;        // C / 4
    uint firstSequence; // of this span of dy
    uint firstRow;      // of this span of dx
    uint spanRows;
} push;

void main() {
    uint sequence = gl_WorkGroupID.x + push.groupBase;
    ivec2 range = ranges[push.firstSequence + sequence];
    int start = max(range.x - int(push.firstRow), 0), end = min(range.y - int(push.firstRow), int(push.spanRows));
    float share = 1.0 / float(max(range.y - range.x, 1));
    for (uint i = gl_LocalInvocationID.x; i < push.width4; i += LANES) {
        vec4 gradient = LOAD4(dy, sequence * push.width4 + i) * share;
        for (int row = start; row < end; ++row) STORE4(dx, uint(row) * push.width4 + i, gradient);
    }
}
