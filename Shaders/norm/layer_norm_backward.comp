// Backward of LayerNorm, weight and bias frozen, one row a workgroup: with g = w ⊙ dy and x̂ = (x − mean)·rstd,
// dx = rstd·(g − mean(g) − x̂·mean(g ⊙ x̂)). DESTINATION_ADDING adds it to `previous`, which may be dx itself.
#version 450
//! variants FAMILY = TEXEL SUBGROUP SHARED
//! variants DESTINATION = INTO ADDING
#extension GL_EXT_control_flow_attributes : require
#include "lib/load.glsl"
#include "lib/reduce.glsl"

OUTPUT4(0, dx);                                                      // (N, C)
INPUT4(1, dy);                                                       // (N, C)
INPUT4(2, x);                                                        // (N, C)
INPUT4(3, weight);                                                   // (C)
layout(std430, binding = 4) readonly buffer Mean { float means[]; }; // (N)
layout(std430, binding = 5) readonly buffer Rstd { float rstd[]; };  // (N)
#if defined(DESTINATION_ADDING)
INPUT4(6, previous);                                                 // (N, C)
#endif

layout(constant_id = 1) const uint TURNS = 0; // of the lanes over a row, which then is read once; 0: a row of any width

layout(push_constant) uniform Push {
    uint groupBase;
    uint width4;   // C / 4
    uint firstRow; // of this span of the matrices
} push;

void store(uint i, vec4 gradient) {
#if defined(DESTINATION_ADDING)
    gradient += LOAD4(previous, i);
#endif
    STORE4(dx, i, gradient);
}

void main() {
    uint row = gl_WorkGroupID.x + push.groupBase;
    uint start = row * push.width4;
    float mean = means[push.firstRow + row], scale = rstd[push.firstRow + row];

    vec4 sum = vec4(0), products = vec4(0);
    vec4 heldX[TURNS + 1], heldG[TURNS + 1]; // x̂, g
    [[unroll]] for (uint turn = 0; turn < TURNS; ++turn) {
        uint i = turn * LANES + LANE;
        heldX[turn] = (LOAD4(x, start + i) - mean) * scale;
        heldG[turn] = LOAD4(dy, start + i) * LOAD4(weight, i);
        sum += heldG[turn];
        products += heldG[turn] * heldX[turn];
    }
    if (TURNS == 0) for (uint i = LANE; i < push.width4; i += LANES) {
        vec4 g = LOAD4(dy, start + i) * LOAD4(weight, i);
        sum += g;
        products += g * (LOAD4(x, start + i) - mean) * scale;
    }
    float shift = groupSum(horizontalSum(sum)) / float(4 * push.width4);
    float pull = groupSum(horizontalSum(products)) / float(4 * push.width4);

    [[unroll]] for (uint turn = 0; turn < TURNS; ++turn)
        store(start + turn * LANES + LANE, scale * (heldG[turn] - shift - heldX[turn] * pull));
    if (TURNS == 0) for (uint i = LANE; i < push.width4; i += LANES) {
        vec4 g = LOAD4(dy, start + i) * LOAD4(weight, i);
        store(start + i, scale * (g - shift - (LOAD4(x, start + i) - mean) * scale * pull));
    }
}
