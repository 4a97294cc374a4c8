#version 450
// y = xᵀ·w with x (k, m) and w (k, n), through shared memory: an adapter's gradients dA += gᵀ·x and dB += dyᵀ·h on any
// device, for any m, n and k.
#extension GL_GOOGLE_include_directive : require
#include "lib/shared_tile.glsl"

layout(std430, binding = 1) readonly buffer XStorage { float x[]; };
layout(std430, binding = 2) readonly buffer WStorage { float w[]; };

void main() {
    uint group = gl_WorkGroupID.x + push.groupBase, tiles = (push.M + TILE_M - 1) / TILE_M;
    uint row = group % tiles * TILE_M, column = group / tiles * TILE_N;
    clear();
    for (uint k0 = 0; k0 < push.K; k0 += TILE_K) {
        EACH(turn, TURNS(TILE_M * TILE_K)) {
            uint i = item(turn);
            uint m = i % TILE_M, k = i / TILE_M;
            bool inside = k0 + k < push.K && row + m < push.M;
            putA(k, m, inside ? x[(k0 + k) * push.xStride + push.xOffset + row + m] : 0);
        }
        EACH(turn, TURNS(TILE_N * TILE_K)) {
            uint i = item(turn);
            uint n = i % TILE_N, k = i / TILE_N;
            bool inside = k0 + k < push.K && column + n < push.N;
            putB(k, n, inside ? w[(k0 + k) * push.wStride + push.wOffset + column + n] : 0);
        }
        multiply();
    }
    store(row, column);
}
