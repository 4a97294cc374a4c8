// First half of the gradient norm: the sum of squares of each CHUNK of the flat gradient buffer, in a fixed order. With
// RATES EACH a parameter whose multiplier of the learning rate is 0 is frozen and does not count.
#version 450
//! variants FAMILY = TEXEL SUBGROUP SHARED
//! variants RATES = ONE EACH
#include "lib/load.glsl"
#include "lib/reduce.glsl"

layout(constant_id = 1) const uint CHUNK = 1024; // vec4 a workgroup

layout(std430, binding = 0) writeonly buffer Partials { float partials[]; };
INPUT4(1, gradients);
#ifdef RATES_EACH
INPUT4(2, rates);
#endif

layout(push_constant) uniform Push {
    uint groupBase;
    uint count4;
    uint firstPartial; // of this span of the gradients
} push;

void main() {
    uint group = gl_WorkGroupID.x + push.groupBase;
    uint end = min((group + 1) * CHUNK, push.count4);
    vec4 squares = vec4(0);
    for (uint i = group * CHUNK + LANE; i < end; i += LANES) {
        vec4 g = LOAD4(gradients, i);
#ifdef RATES_EACH
        g = mix(g, vec4(0), equal(LOAD4(rates, i), vec4(0)));
#endif
        squares += g * g;
    }
    float sum = groupSum(horizontalSum(squares));
    if (LANE == 0) partials[push.firstPartial + group] = sum;
}
