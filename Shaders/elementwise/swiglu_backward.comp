// Backward of a = silu(gate)·up, with σ = σ(gate), and a once more:
// dup = da·gate·σ,  dgate = da·up·σ·(1 + gate·(1 − σ)).
#version 450
//! variants FAMILY = TEXEL SHARED
#include "lib/load.glsl"
#include "lib/stripe.glsl"
#include "lib/sigmoid.glsl"

OUTPUT4(0, dgate);
OUTPUT4(1, dup);
OUTPUT4(2, a);
INPUT4(3, da);
INPUT4(4, gate);
INPUT4(5, up);

layout(push_constant) uniform Push {
    uint groupBase;
    uint count4;
} push;

void main() {
    FOR_EACH4(i, gl_WorkGroupID.x + push.groupBase, push.count4) {
        vec4 g = LOAD4(gate, i), u = LOAD4(up, i), d = LOAD4(da, i);
        vec4 s = sigmoid(g);
        STORE4(dgate, i, d * u * s * (1 + g * (1 - s)));
        STORE4(dup, i, d * g * s);
        STORE4(a, i, g * s * u);
    }
}
