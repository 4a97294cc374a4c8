// y (N, C) = x, where both may be columns of wider matrices.
#version 450
//! variants FAMILY = TEXEL SHARED
#include "lib/load.glsl"
#include "lib/stripe.glsl"

OUTPUT4(0, y);
INPUT4(1, x);

layout(push_constant) uniform Push {
    uint groupBase;
    uint count4; // rows·C / 4
    uint width4; // C / 4
    uint yPitch4, yColumn4, xPitch4, xColumn4; // from one row to the next, and the first column
} push;

void main() {
    FOR_EACH4(i, gl_WorkGroupID.x + push.groupBase, push.count4) {
        uint row = i / push.width4;
        uint column = i - row * push.width4;
        STORE4(y, row * push.yPitch4 + push.yColumn4 + column, LOAD4(x, row * push.xPitch4 + push.xColumn4 + column));
    }
}
