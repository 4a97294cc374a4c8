// The factors of DoRA's rows, a row a lane: n² = ‖W_o‖² + s·B_o·U_o with U = 2·W·Aᵀ + s·B·A·Aᵀ, which is ‖(W + s·B·A)_o‖²;
// scale = m/n. Liu et al. 2024, DoRA: Weight-Decomposed Low-Rank Adaptation.
#version 450
//! variants FAMILY = TEXEL SHARED
#include "lib/load.glsl"

layout(local_size_x_id = 0) in;
layout(constant_id = 0) const uint LANES = 8;

layout(std430, binding = 0) writeonly buffer Scale { float scale[]; };     // (O) m/n
layout(std430, binding = 1) writeonly buffer Inverse { float inverse[]; }; // (O) 1/n
layout(std430, binding = 2) readonly buffer Magnitude { float m[]; };      // (O)
layout(std430, binding = 3) readonly buffer Squares { float squares[]; };  // (O) ‖W_o‖²
INPUT4(4, loraB);                                                          // (O, R)
INPUT4(5, u);                                                              // (O, R)

layout(push_constant) uniform Push {
    uint groupBase;
    uint rows;     // of this span
    uint rank4;    // R / 4
    uint firstRow; // of this span of the matrices
    float scaling; // s
} push;

void main() {
    uint row = (gl_WorkGroupID.x + push.groupBase) * LANES + gl_LocalInvocationID.x;
    if (row >= push.rows) return;
    float sum = 0.0;
    for (uint i = row * push.rank4; i < (row + 1) * push.rank4; ++i) sum += dot(LOAD4(loraB, i), LOAD4(u, i));
    uint o = push.firstRow + row;
    // Rounding can take a row that the update cancels below zero.
    float reciprocal = inversesqrt(max(squares[o] + push.scaling * sum, 1e-20));
    inverse[o] = reciprocal;
    scale[o] = m[o] * reciprocal;
}
