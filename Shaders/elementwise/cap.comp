// y = c·tanh(x/c): x held between −c and c.
#version 450
//! variants FAMILY = TEXEL SHARED
#include "lib/load.glsl"
#include "lib/stripe.glsl"
#include "lib/tanh.glsl"

OUTPUT4(0, y);
INPUT4(1, x);

layout(push_constant) uniform Push {
    uint groupBase;
    uint count4;
    float limit; // c
} push;

void main() {
    FOR_EACH4(i, gl_WorkGroupID.x + push.groupBase, push.count4)
        STORE4(y, i, push.limit * safeTanh(LOAD4(x, i) / push.limit));
}
