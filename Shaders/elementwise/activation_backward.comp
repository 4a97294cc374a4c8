// Backward of a = f(x)·gate, with f(x) = x·p(x), and a once more: dgate = da·x·p,  dx = da·gate·f′(x).
// Without GATED that of a = f(x).
#version 450
//! variants FAMILY = TEXEL SHARED
#include "lib/load.glsl"
#include "lib/stripe.glsl"
#include "lib/activation.glsl"

layout(constant_id = 2) const bool GATED = true;

OUTPUT4(0, dx);
OUTPUT4(1, dgate);
OUTPUT4(2, a);
INPUT4(3, da);
INPUT4(4, x);
INPUT4(5, gate);

layout(push_constant) uniform Push {
    uint groupBase;
    uint count4;
} push;

void main() {
    FOR_EACH4(i, gl_WorkGroupID.x + push.groupBase, push.count4) {
        vec4 four = LOAD4(x, i), u = GATED ? LOAD4(gate, i) : vec4(1), d = LOAD4(da, i);
        vec4 p = activationFactor(four), f = activated(four, p), g = GATED ? gateFactor(u) : u;
        STORE4(dx, i, timesSlope(d * g, four, p));
        if (GATED) STORE4(dgate, i, timesGateSlope(d * f, u));
        STORE4(a, i, f * g);
    }
}
