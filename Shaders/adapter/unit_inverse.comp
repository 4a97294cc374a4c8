// P = (G + ε·1)⁻¹ of the symmetric G (R, R), divided by its norm: by elimination in place, without a search for pivots, which are
// at least ε but for rounding. What is stored beyond R is zero. One workgroup, which eliminates some rows of many: the first
// dispatch starts, the last one divides.
#version 450
//! variants FAMILY = SUBGROUP SHARED
#include "lib/reduce.glsl"

layout(std430, binding = 0) coherent buffer Inverse { float inverse[]; };
layout(std430, binding = 1) readonly buffer Gram { float gram[]; };

layout(push_constant) uniform Push {
    uint groupBase;
    uint rank;
    uint pitch; // of both
    float damping;
    uint first; // row to eliminate
    uint last;  // not eliminated any more
} push;

void synchronise() {
    memoryBarrierBuffer();
    barrier();
}

void main() {
    uint rank = push.rank;
    uint pitch = push.pitch;
    for (uint row = LANE; push.first == 0 && row < pitch; row += LANES) {
        for (uint column = 0; column < pitch; ++column) {
            float value = row < rank && column < rank ? gram[row * pitch + column] : 0.0;
            inverse[row * pitch + column] = row == column && row < rank ? value + push.damping : value;
        }
    }
    synchronise();
    for (uint k = push.first; k < push.last; ++k) {
        float pivot = 1.0 / max(inverse[k * pitch + k], push.damping);
        for (uint row = LANE; row < rank; row += LANES) {
            if (row == k) continue;
            float factor = pivot * inverse[row * pitch + k];
            for (uint column = 0; column < rank; ++column) {
                if (column != k) inverse[row * pitch + column] -= factor * inverse[k * pitch + column];
            }
            inverse[row * pitch + k] = -factor;
        }
        synchronise();
        for (uint column = LANE; column < rank; column += LANES) {
            uint i = k * pitch + column;
            inverse[i] = column == k ? pivot : pivot * inverse[i];
        }
        synchronise();
    }
    if (push.last < rank) return;
    float squares = 0.0;
    for (uint row = LANE; row < rank; row += LANES) {
        for (uint i = row * pitch; i < row * pitch + rank; ++i) squares += inverse[i] * inverse[i];
    }
    float scale = inversesqrt(groupSum(squares));
    for (uint row = LANE; row < rank; row += LANES) {
        for (uint i = row * pitch; i < row * pitch + rank; ++i) inverse[i] *= scale;
    }
}
