// y (N, C) = x ⊙ v, every column by a factor of its own; with DESTINATION ADDING, y += x ⊙ v.
#version 450
//! variants FAMILY = TEXEL SHARED
//! variants DESTINATION = INTO ADDING
#include "lib/load.glsl"
#include "lib/stripe.glsl"

layout(std430, binding = 0) writeonly buffer Y { vec4 y[]; };
INPUT4(1, x);
INPUT4(2, v); // (C)
#ifdef DESTINATION_ADDING
INPUT4(3, old); // y itself
#endif

layout(push_constant) uniform Push {
    uint groupBase;
    uint count4;
    uint first4; // of this span of the matrices
    uint width4; // C / 4
} push;

void main() {
    FOR_EACH4(i, gl_WorkGroupID.x + push.groupBase, push.count4) {
        vec4 scaled = LOAD4(x, i) * LOAD4(v, (push.first4 + i) % push.width4);
#ifdef DESTINATION_ADDING
        scaled += LOAD4(old, i);
#endif
        y[i] = scaled;
    }
}
