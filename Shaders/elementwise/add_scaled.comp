// y = a + scale·b. With scale = 1 the residual addition, with y = a the axpy.
#version 450
//! variants FAMILY = TEXEL SHARED
#include "lib/load.glsl"
#include "lib/stripe.glsl"

OUTPUT4(0, y);
INPUT4(1, a);
INPUT4(2, b);

layout(push_constant) uniform Push {
    uint groupBase;
    uint count4;
    float scale;
} push;

void main() {
    FOR_EACH4(i, gl_WorkGroupID.x + push.groupBase, push.count4)
        STORE4(y, i, LOAD4(a, i) + push.scale * LOAD4(b, i));
}
