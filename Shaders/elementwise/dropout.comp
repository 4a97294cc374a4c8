// Dropout: y = x·mask/(1 − p). An element is kept when its random word is at least p·2³², compared as integers, so that the
// mask depends on (seed, pass, layer, site, element) alone and is the same on every device. Backward: the same on dy.
#version 450
//! variants FAMILY = TEXEL SHARED
#include "lib/load.glsl"
#include "lib/stripe.glsl"
#include "lib/random.glsl"
#include "lib/step_state.glsl"

OUTPUT4(0, y);
INPUT4(1, x);
STEP_STATE(2);

layout(push_constant) uniform Push {
    uint groupBase;
    uint count4;
    uint threshold; // p·2³²
    float scale;    // 1 / (1 − p)
    uint layer;
    uint site;
    uint first4;    // where this span of the tensor begins
} push;

void main() {
    uvec2 seed = uvec2(state.seedLow, state.seedHigh);
    uint pass = state.pass;
    FOR_EACH4(i, gl_WorkGroupID.x + push.groupBase, push.count4) {
        uvec4 words = randomWords(seed, pass, push.layer, push.site, push.first4 + i);
        bvec4 kept = greaterThanEqual(words, uvec4(push.threshold));
        STORE4(y, i, mix(vec4(0), LOAD4(x, i) * push.scale, kept));
    }
}
