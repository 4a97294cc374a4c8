#version 450
// y = scale·a·b, plus `old`, for any M, N and K and however rows lie: element (m, k) of a is x[m · xRow + k · xColumn + xOffset], (k, n)
// of b is w[k · wRow + n · wColumn + wOffset]. What the kernels that read four floats at a time cannot do; slow, and correct on any device.
#extension GL_EXT_control_flow_attributes : require

layout(local_size_x_id = 0) in;
layout(constant_id = 0) const uint LANES = 64;
layout(constant_id = 1) const bool ACCUMULATE = false;  // y = old + …
const uint TILE = 32, TILE_K = 16, PITCH = TILE + 1, SIDE = 8, BLOCK = TILE / SIDE;  // LANES = SIDE²

layout(push_constant) uniform Push {
    uint groupBase;
    uint M, N, K;
    uint xRow, xColumn, xOffset, wRow, wColumn, wOffset, yPitch, yOffset;
    float scale;
} push;

layout(std430, binding = 0) writeonly buffer YStorage { float y[]; };
layout(std430, binding = 1) readonly buffer OldStorage { float old[]; };
layout(std430, binding = 2) readonly buffer XStorage { float x[]; };
layout(std430, binding = 3) readonly buffer WStorage { float w[]; };

shared float aSlab[TILE_K * PITCH];
shared float bSlab[TILE_K * PITCH];

#define EACH(i, count) [[unroll]] for (uint i = 0; i < count; i++)

void main() {
    uint group = gl_WorkGroupID.x + push.groupBase, tiles = (push.M + TILE - 1) / TILE, me = gl_LocalInvocationID.x;
    uint row = group % tiles * TILE, column = group / tiles * TILE, down = me / SIDE, across = me % SIDE;
    float c[BLOCK][BLOCK];
    EACH(m, BLOCK) EACH(n, BLOCK) c[m][n] = 0;
    for (uint k0 = 0; k0 < push.K; k0 += TILE_K) {
        EACH(turn, TILE * TILE_K / LANES) {
            uint i = turn * LANES + me, k = i % TILE_K, m = i / TILE_K, n = i % TILE, kb = i / TILE;
            bool hasA = k0 + k < push.K && row + m < push.M, hasB = k0 + kb < push.K && column + n < push.N;
            aSlab[k * PITCH + m] = hasA ? x[(row + m) * push.xRow + (k0 + k) * push.xColumn + push.xOffset] : 0;
            bSlab[kb * PITCH + n] = hasB ? w[(k0 + kb) * push.wRow + (column + n) * push.wColumn + push.wOffset] : 0;
        }
        barrier();
        EACH(k, TILE_K) {
            float b[BLOCK];
            EACH(n, BLOCK) b[n] = bSlab[k * PITCH + across + n * SIDE];
            EACH(m, BLOCK) {
                float a = aSlab[k * PITCH + down + m * SIDE];
                EACH(n, BLOCK) c[m][n] += a * b[n];
            }
        }
        barrier();
    }
    EACH(m, BLOCK) EACH(n, BLOCK) {
        uint atRow = row + down + m * SIDE, atColumn = column + across + n * SIDE;
        if (atRow < push.M && atColumn < push.N) {
            uint i = atRow * push.yPitch + push.yOffset + atColumn;
            float value = push.scale * c[m][n];
            y[i] = ACCUMULATE ? old[i] + value : value;
        }
    }
}
