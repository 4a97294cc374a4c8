// out (C) += v ⊙ Σ over rows of a ⊙ b, four columns a lane: the gradient of a factor that scales a column.
#version 450
//! variants FAMILY = TEXEL SHARED
#include "lib/load.glsl"
#include "lib/stripe.glsl"

OUTPUT4(0, sums); // (C)
INPUT4(1, a);                                                       // (N, C)
INPUT4(2, b);                                                       // (N, C)
INPUT4(3, v);                                                       // (C)
INPUT4(4, old);                                                     // the sums' own memory

layout(push_constant) uniform Push {
    uint groupBase;
    uint width4; // C / 4
    uint rows;
    uint aPitch4, bPitch4; // from one row to the next
} push;

void main() {
    FOR_EACH4(column, gl_WorkGroupID.x + push.groupBase, push.width4) {
        vec4 sum = vec4(0);
        for (uint row = 0; row < push.rows; ++row)
            sum += LOAD4(a, row * push.aPitch4 + column) * LOAD4(b, row * push.bPitch4 + column);
        STORE4(sums, column, LOAD4(old, column) + LOAD4(v, column) * sum);
    }
}
