// NEFTune: y = x + u·α/√(L·C), u uniform in [−1, 1), L the tokens of the sequence that a row belongs to. The noise depends on seed, pass
// and element alone. Jain et al. 2023.
#version 450
//! variants FAMILY = TEXEL SHARED
#include "lib/load.glsl"
#include "lib/stripe.glsl"
#include "lib/random.glsl"
#include "lib/step_state.glsl"

OUTPUT4(0, y);
INPUT4(1, x);
STEP_STATE(2);
layout(std430, binding = 3) readonly buffer Spans { ivec2 spans[]; }; // (N): start and end of each token's sequence

layout(push_constant) uniform Push {
    uint groupBase;
    uint count4;
    float amplitude; // α/√C
    uint width4;     // C / 4
    uint first4;     // where this span of the tensor begins
} push;

const uint LAYER = 0xFFFFFFFFu; // of no dropout

void main() {
    uvec2 seed = uvec2(state.seedLow, state.seedHigh);
    uint pass = state.pass;
    FOR_EACH4(i, gl_WorkGroupID.x + push.groupBase, push.count4) {
        uint element = push.first4 + i;
        ivec2 span = spans[element / push.width4];
        float size = push.amplitude * inversesqrt(float(span.y - span.x));
        vec4 u = vec4(randomWords(seed, pass, LAYER, 0, element) >> 8) * (1.0 / 8388608.0) - 1.0;
        STORE4(y, i, LOAD4(x, i) + size * u);
    }
}
