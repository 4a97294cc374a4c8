// From dc (R), the gradient of DeLoRA's factors c = λ·t: dλ += Σ t·dc, and what it takes off the gradients of A and of B:
// −c·dc/‖A_i‖² times A_i, as a diagonal matrix, and −c·dc/‖B_i‖² times B_i. One workgroup.
#version 450
//! variants FAMILY = SUBGROUP SHARED
#include "lib/reduce.glsl"

layout(std430, binding = 0) buffer LambdaGradient { float dLambda[]; };    // (1)
layout(std430, binding = 1) writeonly buffer Diagonal { float takenA[]; }; // (R, R)
layout(std430, binding = 2) writeonly buffer Columns { float takenB[]; };  // (R)
layout(std430, binding = 3) readonly buffer FactorGradient { float dc[]; };
layout(std430, binding = 4) readonly buffer Factors { float c[]; };
layout(std430, binding = 5) readonly buffer Unit { float t[]; };
layout(std430, binding = 6) readonly buffer InverseA { float perA[]; };
layout(std430, binding = 7) readonly buffer InverseB { float perB[]; };

layout(push_constant) uniform Push {
    uint groupBase;
    uint rank;
} push;

void main() {
    float sum = 0.0;
    for (uint i = LANE; i < push.rank; i += LANES) {
        sum += t[i] * dc[i];
        takenA[i * (push.rank + 1)] = -c[i] * dc[i] * perA[i];
        takenB[i] = -c[i] * dc[i] * perB[i];
    }
    sum = groupSum(sum);
    if (LANE == 0) dLambda[0] += sum;
}
