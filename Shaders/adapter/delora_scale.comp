// DeLoRA's factors, a rank a workgroup: t = 1/(R·max(‖A_i‖, ε)·max(‖B_i‖, ε)), c = λ·t, and what their derivatives need:
// 1/‖A_i‖² and 1/‖B_i‖², or 0 where a norm is below ε and so has no part in them. Bini, Girrbach & Akata 2025, DeLoRA.
#version 450
//! variants FAMILY = TEXEL SUBGROUP SHARED
#include "lib/load.glsl"
#include "lib/reduce.glsl"

layout(std430, binding = 0) writeonly buffer Factors { float c[]; };      // (R)
layout(std430, binding = 1) writeonly buffer Unit { float t[]; };         // (R)
layout(std430, binding = 2) writeonly buffer InverseA { float perA[]; };  // (R)
layout(std430, binding = 3) writeonly buffer InverseB { float perB[]; };  // (R)
INPUT4(4, loraA);                                                         // (R, I)
layout(std430, binding = 5) readonly buffer SquaresB { float squaresB[]; }; // (R) ‖B_i‖²
layout(std430, binding = 6) readonly buffer Lambda { float lambda[]; };   // (1)

layout(push_constant) uniform Push {
    uint groupBase;
    uint width4;    // I / 4
    uint firstRank; // of this span
    float rank;     // R
} push;

const float smallest = 1e-4;

void main() {
    uint row = gl_WorkGroupID.x + push.groupBase;
    vec4 squares = vec4(0);
    for (uint i = LANE; i < push.width4; i += LANES) {
        vec4 four = LOAD4(loraA, row * push.width4 + i);
        squares += four * four;
    }
    float squareA = groupSum(horizontalSum(squares));
    if (LANE != 0) return;
    uint i = push.firstRank + row;
    float squareB = squaresB[i];
    float unit = 1.0 / (push.rank * max(sqrt(squareA), smallest) * max(sqrt(squareB), smallest));
    t[i] = unit;
    c[i] = lambda[0] * unit;
    perA[i] = squareA > smallest * smallest ? 1.0 / squareA : 0.0;
    perB[i] = squareB > smallest * smallest ? 1.0 / squareB : 0.0;
}
