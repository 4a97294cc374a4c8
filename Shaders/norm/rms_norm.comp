// RMSNorm of one row a workgroup: y = x·rstd·w, rstd = 1/√(mean(x²) + ε). DESTINATION_ADDING adds it to `residual`.
// Zhang, Sennrich: Root Mean Square Layer Normalization (2019).
#version 450
//! variants FAMILY = TEXEL SUBGROUP SHARED
//! variants DESTINATION = INTO ADDING
#extension GL_EXT_control_flow_attributes : require
#include "lib/load.glsl"
#include "lib/reduce.glsl"

OUTPUT4(0, y);        // (N, C)
layout(std430, binding = 1) writeonly buffer Rstd { float rstd[]; }; // (N)
INPUT4(2, x);                                                        // (N, C)
INPUT4(3, weight);                                                   // (C)
#if defined(DESTINATION_ADDING)
INPUT4(4, residual);                                                 // (N, C), may be y itself
#define PLUS_RESIDUAL(i, four) LOAD4(residual, i) + four
#else
#define PLUS_RESIDUAL(i, four) four
#endif

layout(constant_id = 1) const uint TURNS = 0; // of the lanes over a row, which then is read once; 0: a row of any width

layout(push_constant) uniform Push {
    uint groupBase;
    uint width4;   // C / 4
    uint firstRow; // of this span of the matrices
    float epsilon;
} push;

void main() {
    uint row = gl_WorkGroupID.x + push.groupBase;
    uint start = row * push.width4;

    vec4 squares = vec4(0);
    vec4 held[TURNS + 1];
    [[unroll]] for (uint turn = 0; turn < TURNS; ++turn) {
        held[turn] = LOAD4(x, start + turn * LANES + LANE);
        squares += held[turn] * held[turn];
    }
    if (TURNS == 0) for (uint i = LANE; i < push.width4; i += LANES) {
        vec4 four = LOAD4(x, start + i);
        squares += four * four;
    }
    float meanSquare = groupSum(horizontalSum(squares)) / float(4 * push.width4);
    float scale = 1.0 / sqrt(meanSquare + push.epsilon);

    [[unroll]] for (uint turn = 0; turn < TURNS; ++turn) {
        uint i = turn * LANES + LANE;
        STORE4(y, start + i, PLUS_RESIDUAL(start + i, held[turn] * scale * LOAD4(weight, i)));
    }
    if (TURNS == 0) for (uint i = LANE; i < push.width4; i += LANES)
        STORE4(y, start + i, PLUS_RESIDUAL(start + i, LOAD4(x, start + i) * scale * LOAD4(weight, i)));
    if (LANE == 0) rstd[push.firstRow + row] = scale;
}
