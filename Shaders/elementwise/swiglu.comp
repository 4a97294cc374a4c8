// SwiGLU's gated activation: a = silu(gate)·up, silu(z) = z·σ(z).
// Shazeer: GLU Variants Improve Transformer (2020).
#version 450
//! variants FAMILY = TEXEL SHARED
#include "lib/load.glsl"
#include "lib/stripe.glsl"
#include "lib/sigmoid.glsl"

OUTPUT4(0, a);
INPUT4(1, gate);
INPUT4(2, up);

layout(push_constant) uniform Push {
    uint groupBase;
    uint count4;
} push;

void main() {
    FOR_EACH4(i, gl_WorkGroupID.x + push.groupBase, push.count4) {
        vec4 g = LOAD4(gate, i);
        STORE4(a, i, g * sigmoid(g) * LOAD4(up, i));
    }
}
