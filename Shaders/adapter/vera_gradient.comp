// From dU (O, R), the gradient of U = diag(b)·B·diag(d), a row a lane: db_o += Σ_k dU_ok·B_ok·d_k. Then dU is multiplied by b by rows,
// so that dd_k = Σ_o dU_ok·B_ok over what it is now.
#version 450
//! variants FAMILY = TEXEL SHARED
#include "lib/load.glsl"

layout(local_size_x_id = 0) in;
layout(constant_id = 0) const uint LANES = 8;

layout(std430, binding = 0) buffer RowGradient { float db[]; };         // (O)
OUTPUT4(1, scaled); // (O, R)
INPUT4(2, dU);                                                          // the same memory
INPUT4(3, matrixB);                                                     // (O, R)
INPUT4(4, d);                                                           // (R)
layout(std430, binding = 5) readonly buffer RowFactors { float b[]; };  // (O)

layout(push_constant) uniform Push {
    uint groupBase;
    uint rows;     // of this span
    uint rank4;    // R / 4
    uint firstRow; // of this span of the matrices
} push;

void main() {
    uint row = (gl_WorkGroupID.x + push.groupBase) * LANES + gl_LocalInvocationID.x;
    if (row >= push.rows) return;
    uint o = push.firstRow + row;
    float sum = 0.0;
    for (uint k = 0; k < push.rank4; ++k) {
        uint i = row * push.rank4 + k;
        vec4 four = LOAD4(dU, i);
        sum += dot(four * LOAD4(matrixB, i), LOAD4(d, k));
        STORE4(scaled, i, b[o] * four);
    }
    db[o] += sum;
}
