// Backward of RMSNorm, weight frozen, one row a workgroup:
// dx = rstd·(w ⊙ dy) − x·rstd³/C·Σ(dy ⊙ w ⊙ x). DESTINATION_ADDING adds it to `previous`, which may be dx itself.
#version 450
//! variants FAMILY = TEXEL SUBGROUP SHARED
//! variants DESTINATION = INTO ADDING
#extension GL_EXT_control_flow_attributes : require
#include "lib/load.glsl"
#include "lib/reduce.glsl"

OUTPUT4(0, dx);     // (N, C)
INPUT4(1, dy);                                                      // (N, C)
INPUT4(2, x);                                                       // (N, C)
INPUT4(3, weight);                                                  // (C)
layout(std430, binding = 4) readonly buffer Rstd { float rstd[]; }; // (N)
#if defined(DESTINATION_ADDING)
INPUT4(5, previous);                                                // (N, C)
#endif

layout(constant_id = 1) const uint TURNS = 0; // of the lanes over a row, which then is read once; 0: a row of any width

layout(push_constant) uniform Push {
    uint groupBase;
    uint width4;   // C / 4
    uint firstRow; // of this span of the matrices
} push;

void main() {
    uint row = gl_WorkGroupID.x + push.groupBase;
    uint start = row * push.width4;

    vec4 products = vec4(0);
    vec4 heldX[TURNS + 1], heldDy[TURNS + 1]; // dy ⊙ w
    [[unroll]] for (uint turn = 0; turn < TURNS; ++turn) {
        uint i = turn * LANES + LANE;
        heldX[turn] = LOAD4(x, start + i);
        heldDy[turn] = LOAD4(dy, start + i) * LOAD4(weight, i);
        products += heldDy[turn] * heldX[turn];
    }
    if (TURNS == 0) for (uint i = LANE; i < push.width4; i += LANES)
        products += LOAD4(dy, start + i) * LOAD4(weight, i) * LOAD4(x, start + i);
    float scale = rstd[push.firstRow + row];
    float pull = groupSum(horizontalSum(products)) * scale * scale * scale / float(4 * push.width4);

    [[unroll]] for (uint turn = 0; turn < TURNS; ++turn) {
        uint i = turn * LANES + LANE;
        vec4 gradient = scale * heldDy[turn] - pull * heldX[turn];
#if defined(DESTINATION_ADDING)
        gradient += LOAD4(previous, start + i);
#endif
        STORE4(dx, start + i, gradient);
    }
    if (TURNS == 0) for (uint i = LANE; i < push.width4; i += LANES) {
        vec4 gradient = scale * (LOAD4(weight, i) * LOAD4(dy, start + i)) - pull * LOAD4(x, start + i);
#if defined(DESTINATION_ADDING)
        gradient += LOAD4(previous, start + i);
#endif
        STORE4(dx, start + i, gradient);
    }
}
