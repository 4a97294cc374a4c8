// Backward of a[n] = c[n]·(Σ_j w[j]·u[n − j] + v), u = b·x:
//   dc[n] = da[n]·(Σ_j w[j]·u[n − j] + v),   du[n] = Σ_j w[j]·da[n + j]·c[n + j],   db = du·x,   dx = du·b
#version 450
//! variants FAMILY = TEXEL SHARED
#include "lib/load.glsl"
#include "lib/stripe.glsl"

layout(constant_id = 2) const uint TAPS = 3;
layout(constant_id = 4) const bool BIASED = false;

OUTPUT4(0, db);      // (N, C)
OUTPUT4(1, dc);
OUTPUT4(2, dx);
INPUT4(3, da);       // (N, C)
INPUT4(4, b);
INPUT4(5, c);
INPUT4(6, x);
INPUT4(7, weight);   // (TAPS, C)
INPUT4(8, bias);     // (C)
layout(std430, binding = 9) readonly buffer Spans { ivec2 spans[]; };   // (N): first and end of the token's sequence

layout(push_constant) uniform Push {
    uint groupBase;
    uint count4; // N·C / 4
    uint width4; // C / 4
} push;

void main() {
    FOR_EACH4(i, gl_WorkGroupID.x + push.groupBase, push.count4) {
        uint row = i / push.width4, column = i - row * push.width4;
        ivec2 span = spans[row];
        uint before = row - uint(span.x), behind = uint(span.y) - 1 - row;
        vec4 sum = BIASED ? LOAD4(bias, column) : vec4(0), du = vec4(0);
        for (uint j = 0; j < TAPS; j++) {
            vec4 w = LOAD4(weight, j * push.width4 + column);
            if (j <= before) {
                uint at = i - j * push.width4;
                sum += w * (LOAD4(b, at) * LOAD4(x, at));
            }
            if (j <= behind) {
                uint at = i + j * push.width4;
                du += w * (LOAD4(da, at) * LOAD4(c, at));
            }
        }
        STORE4(dc, i, LOAD4(da, i) * sum);
        STORE4(db, i, du * LOAD4(x, i));
        STORE4(dx, i, du * LOAD4(b, i));
    }
}
