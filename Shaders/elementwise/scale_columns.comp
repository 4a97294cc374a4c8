// y (N, C) = x ⊙ v, every column by a factor of its own; with DESTINATION ADDING, y += x ⊙ v.
#version 450
//! variants FAMILY = TEXEL SHARED
//! variants DESTINATION = INTO ADDING
#include "lib/load.glsl"
#include "lib/stripe.glsl"

OUTPUT4(0, y);
INPUT4(1, x);
INPUT4(2, v); // (C)
#ifdef DESTINATION_ADDING
INPUT4(3, old); // y itself
#endif

layout(push_constant) uniform Push {
    uint groupBase;
    uint count4; // rows·C / 4
    uint width4; // C / 4
    uint yPitch4, xPitch4; // from one row to the next
} push;

void main() {
    FOR_EACH4(i, gl_WorkGroupID.x + push.groupBase, push.count4) {
        uint row = i / push.width4;
        uint column = i - row * push.width4;
        uint at = row * push.yPitch4 + column;
        vec4 scaled = LOAD4(x, row * push.xPitch4 + column) * LOAD4(v, column);
#ifdef DESTINATION_ADDING
        scaled += LOAD4(old, at);
#endif
        STORE4(y, at, scaled);
    }
}
