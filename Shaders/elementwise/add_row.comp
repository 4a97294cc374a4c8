// y (N, C) += v, the same row for each: a bias.
#version 450
//! variants FAMILY = TEXEL SHARED
#include "lib/load.glsl"
#include "lib/stripe.glsl"

OUTPUT4(0, y);
INPUT4(1, old); // y itself
INPUT4(2, v);   // (C)

layout(push_constant) uniform Push {
    uint groupBase;
    uint count4; // rows·C / 4
    uint width4; // C / 4
    uint pitch4, column4; // of y: from one row to the next, and the first column
} push;

void main() {
    FOR_EACH4(i, gl_WorkGroupID.x + push.groupBase, push.count4) {
        uint row = i / push.width4;
        uint column = i - row * push.width4;
        uint at = row * push.pitch4 + push.column4 + column;
        STORE4(y, at, LOAD4(old, at) + LOAD4(v, column));
    }
}
