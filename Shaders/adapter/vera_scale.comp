// VeRA's second matrix as it stands, a row a lane: U = diag(b)·B·diag(d), B frozen, b and d trained. Kopiczko, Blankevoort &
// Asano 2023, VeRA: Vector-based Random Matrix Adaptation.
#version 450
//! variants FAMILY = TEXEL SHARED
#include "lib/load.glsl"

layout(local_size_x_id = 0) in;
layout(constant_id = 0) const uint LANES = 8;

OUTPUT4(0, scaled); // (O, R)
INPUT4(1, matrixB);                                                     // (O, R)
INPUT4(2, d);                                                           // (R)
layout(std430, binding = 3) readonly buffer RowFactors { float b[]; };  // (O)

layout(push_constant) uniform Push {
    uint groupBase;
    uint rows;     // of this span
    uint rank4;    // R / 4
    uint firstRow; // of this span of the matrices
} push;

void main() {
    uint row = (gl_WorkGroupID.x + push.groupBase) * LANES + gl_LocalInvocationID.x;
    if (row >= push.rows) return;
    float factor = b[push.firstRow + row];
    for (uint k = 0; k < push.rank4; ++k) {
        uint i = row * push.rank4 + k;
        STORE4(scaled, i, factor * LOAD4(matrixB, i) * LOAD4(d, k));
    }
}
