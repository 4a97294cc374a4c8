// LayerNorm of one row a workgroup: y = (x − mean)·rstd·w + b, rstd = 1/√(mean((x − mean)²) + ε). The variance is summed after
// the mean is known, so that a large mean does not cancel it. Ba, Kiros, Hinton: Layer Normalization (2016).
#version 450
//! variants FAMILY = TEXEL SUBGROUP SHARED
#extension GL_EXT_control_flow_attributes : require
#include "lib/load.glsl"
#include "lib/reduce.glsl"

OUTPUT4(0, y);                                                       // (N, C)
layout(std430, binding = 1) writeonly buffer Mean { float means[]; }; // (N)
layout(std430, binding = 2) writeonly buffer Rstd { float rstd[]; };  // (N)
INPUT4(3, x);                                                        // (N, C)
INPUT4(4, weight);                                                   // (C)
INPUT4(5, bias);                                                     // (C)

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
    float width = float(4 * push.width4);

    vec4 sum = vec4(0);
    vec4 held[TURNS + 1];
    [[unroll]] for (uint turn = 0; turn < TURNS; ++turn) {
        held[turn] = LOAD4(x, start + turn * LANES + LANE);
        sum += held[turn];
    }
    if (TURNS == 0) for (uint i = LANE; i < push.width4; i += LANES) sum += LOAD4(x, start + i);
    float mean = groupSum(horizontalSum(sum)) / width;

    vec4 squares = vec4(0);
    [[unroll]] for (uint turn = 0; turn < TURNS; ++turn) {
        held[turn] -= mean;
        squares += held[turn] * held[turn];
    }
    if (TURNS == 0) for (uint i = LANE; i < push.width4; i += LANES) {
        vec4 four = LOAD4(x, start + i) - mean;
        squares += four * four;
    }
    float scale = 1.0 / sqrt(groupSum(horizontalSum(squares)) / width + push.epsilon);

    [[unroll]] for (uint turn = 0; turn < TURNS; ++turn) {
        uint i = turn * LANES + LANE;
        STORE4(y, start + i, held[turn] * scale * LOAD4(weight, i) + LOAD4(bias, i));
    }
    if (TURNS == 0) for (uint i = LANE; i < push.width4; i += LANES)
        STORE4(y, start + i, (LOAD4(x, start + i) - mean) * scale * LOAD4(weight, i) + LOAD4(bias, i));
    if (LANE == 0) {
        means[push.firstRow + row] = mean;
        rstd[push.firstRow + row] = scale;
    }
}
