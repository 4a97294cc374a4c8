// A gated short convolution, each channel by itself, over the tokens of a sequence up to the token's own:
//   a[n] = c[n]·(Σ_j w[j]·u[n − j] + v),   u = b·x,   j = 0 … TAPS − 1
// What lies before the sequence is zero; what lies before row 0 is kept in `past`, token t in row t mod TAPS.
#version 450
//! variants FAMILY = TEXEL SHARED
#include "lib/load.glsl"
#include "lib/stripe.glsl"

layout(constant_id = 2) const uint TAPS = 3;
layout(constant_id = 3) const bool PAST = false;
layout(constant_id = 4) const bool BIASED = false;

OUTPUT4(0, a);       // (N, C)
INPUT4(1, b);        // (N, C)
INPUT4(2, c);
INPUT4(3, x);
INPUT4(4, weight);   // (TAPS, C)
INPUT4(5, bias);     // (C)
INPUT4(6, past);     // (TAPS, C)
layout(std430, binding = 7) readonly buffer Spans { ivec2 spans[]; };   // (N): the token's sequence, in tokens of all
layout(std430, binding = 8) readonly buffer Offset { int offset[]; };   // tokens before row 0

layout(push_constant) uniform Push {
    uint groupBase;
    uint count4; // N·C / 4
    uint width4; // C / 4
} push;

void main() {
    FOR_EACH4(i, gl_WorkGroupID.x + push.groupBase, push.count4) {
        uint row = i / push.width4, column = i - row * push.width4;
        int token = offset[0] + int(row), first = spans[row].x;
        vec4 sum = BIASED ? LOAD4(bias, column) : vec4(0);
        for (uint j = 0; j < TAPS && token - int(j) >= first; j++) {
            vec4 u;
            if (j <= row) {
                uint at = i - j * push.width4;
                u = LOAD4(b, at) * LOAD4(x, at);
            } else {
                u = PAST ? LOAD4(past, uint(token - int(j)) % TAPS * push.width4 + column) : vec4(0);
            }
            sum += LOAD4(weight, j * push.width4 + column) * u;
        }
        STORE4(a, i, LOAD4(c, i) * sum);
    }
}
