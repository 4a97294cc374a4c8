// a = f(x), or with GATED a = f(x)·gate. silu gives SwiGLU (Shazeer: GLU Variants Improve Transformer, 2020), gelu GeGLU.
#version 450
//! variants FAMILY = TEXEL SHARED
#include "lib/load.glsl"
#include "lib/stripe.glsl"
#include "lib/activation.glsl"

layout(constant_id = 2) const bool GATED = true;

OUTPUT4(0, a);
INPUT4(1, x);
INPUT4(2, gate);

layout(push_constant) uniform Push {
    uint groupBase;
    uint count4;
} push;

void main() {
    FOR_EACH4(i, gl_WorkGroupID.x + push.groupBase, push.count4) {
        vec4 four = LOAD4(x, i);
        vec4 f = activated(four, activationFactor(four));
        STORE4(a, i, GATED ? f * gateFactor(LOAD4(gate, i)) : f);
    }
}
