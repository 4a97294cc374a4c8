// What the convolution of later tokens needs of these: u = b·x of the last TAPS tokens, token t in row t mod TAPS of `past`.
#version 450
//! variants FAMILY = TEXEL SHARED
#include "lib/load.glsl"
#include "lib/stripe.glsl"

layout(constant_id = 2) const uint TAPS = 3;

OUTPUT4(0, past);    // (TAPS, C)
INPUT4(1, b);        // (N, C)
INPUT4(2, x);
layout(std430, binding = 3) readonly buffer Offset { int offset[]; };   // tokens before row 0

layout(push_constant) uniform Push {
    uint groupBase;
    uint count4; // of the rows to keep, C / 4 each
    uint width4; // C / 4
    uint first;  // of these rows
} push;

void main() {
    FOR_EACH4(i, gl_WorkGroupID.x + push.groupBase, push.count4) {
        uint kept = i / push.width4, column = i - kept * push.width4, row = push.first + kept;
        uint at = row * push.width4 + column;
        STORE4(past, (uint(offset[0]) + row) % TAPS * push.width4 + column, LOAD4(b, at) * LOAD4(x, at));
    }
}
