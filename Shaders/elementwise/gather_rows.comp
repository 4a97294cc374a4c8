// Rows by index: y[i] = x[index[i]], one row a workgroup. A source larger than one binding comes in spans of rows, a
// dispatch a span); a row whose index is outside the span keeps the zeros that y was filled with.
#version 450
//! variants FAMILY = TEXEL SHARED
#include "lib/load.glsl"

layout(local_size_x_id = 0) in;
layout(constant_id = 0) const uint LANES = 8;

OUTPUT4(0, y);       // (n, C)
INPUT4(1, x);                                                       // (N, C)
layout(std430, binding = 2) readonly buffer Index { int index[]; }; // (n)

layout(push_constant) uniform Push {
    uint groupBase;
    uint width4;    // C / 4
    uint firstRow;  // of this span of n rows
    uint firstMany; // of this span of N rows
    uint spanMany;
} push;

void main() {
    uint row = gl_WorkGroupID.x + push.groupBase;
    uint source = uint(index[push.firstRow + row] - int(push.firstMany)); // before the span: negative, so too large a number
    if (source >= push.spanMany) return;
    for (uint i = gl_LocalInvocationID.x; i < push.width4; i += LANES)
        STORE4(y, row * push.width4 + i, LOAD4(x, source * push.width4 + i));
}
