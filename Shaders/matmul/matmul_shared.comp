#version 450
// y = x·Wᵀ (NT) or dx = dy·W (NN), plus h·Bᵀ or g·A where R > 0, through shared memory: any device, any M, N and K. An f32
// W lies in tiles or row by row (wStride > 0); the other types always in tiles.
//! variants OP = NT NN
//! variants WEIGHT = F32 F16 BF16 Q8_0 Q4_0 Q4_1 Q4_K Q5_K Q6_K
#extension GL_GOOGLE_include_directive : require
#include "lib/shared_tile.glsl"

layout(std430, binding = 1) readonly buffer XStorage { float x[]; };
layout(std430, binding = 2) readonly buffer HStorage { float h[]; };              // (M, R)
layout(std430, binding = 3) readonly buffer AdapterStorage { float adapter[]; };  // NT: (N, R), NN: (R, N)
#if defined(WEIGHT_F32)
layout(std430, binding = 4) readonly buffer WStorage { float w[]; };
#else
#define WEIGHT_BINDING 4
#include "lib/weights.glsl"
#endif

void loadX(uint row, uint k0) {
    EACH(turn, TURNS(TILE_M * TILE_K)) {
        uint i = item(turn);
        uint k = i % TILE_K, m = i / TILE_K;
        bool inside = k0 + k < push.K && row + m < push.M;
        putA(k, m, inside ? x[(row + m) * push.xStride + push.xOffset + k0 + k] : 0);
    }
}

#if defined(WEIGHT_F32)
float weight(uint o, uint i, uint width) {
    return push.wStride > 0 ? w[o * push.wStride + push.wOffset + i]
                            : w[((o / 4 * (width / 4)) + i / 4) * 16 + o % 4 * 4 + i % 4];
}

void loadW(uint column, uint k0) {
    EACH(turn, TURNS(TILE_N * TILE_K)) {
        uint i = item(turn);
#if defined(OP_NT)
        uint k = i % TILE_K, n = i / TILE_K;
        bool inside = k0 + k < push.K && column + n < push.N;
        putB(k, n, inside ? weight(column + n, k0 + k, push.K) : 0);
#else
        uint n = i % TILE_N, k = i / TILE_N;
        bool inside = k0 + k < push.K && column + n < push.N;
        putB(k, n, inside ? weight(k0 + k, column + n, push.N) : 0);
#endif
    }
}
#else
void loadW(uint column, uint k0) {
    EACH(turn, TURNS(TILE_N * TILE_K / 16)) {
        uint i = item(turn);
        vec4 rows[4] = vec4[4](vec4(0), vec4(0), vec4(0), vec4(0));
#if defined(OP_NT)
        uint k = i % (TILE_K / 4) * 4, n = i / (TILE_K / 4) * 4, width = push.K;
        uint atRow = column + n, atColumn = k0 + k;
#else
        uint n = i % (TILE_N / 4) * 4, k = i / (TILE_N / 4) * 4, width = push.N;
        uint atRow = k0 + k, atColumn = column + n;
#endif
        if (i < TILE_N * TILE_K / 16 && k0 + k < push.K && column + n < push.N)
            loadTile(atRow / 4 * (width / 4) + atColumn / 4, atRow / 4 * (width / 32) + atColumn / 32, rows);
        if (i >= TILE_N * TILE_K / 16) continue;
        EACH(r, 4) EACH(s, 4)
#if defined(OP_NT)
            putB(k + s, n + r, rows[r][s]);
#else
            putB(k + r, n + s, rows[r][s]);
#endif
    }
}
#endif

void loadRank(uint row, uint column, uint r0) {
    EACH(turn, TURNS(TILE_M * TILE_K)) {
        uint i = item(turn);
        uint r = i % TILE_K, m = i / TILE_K;
        putA(r, m, r0 + r < push.R && row + m < push.M ? h[(row + m) * push.hStride + push.hOffset + r0 + r] : 0);
    }
    EACH(turn, TURNS(TILE_N * TILE_K)) {
        uint i = item(turn);
        uint r = i % TILE_K, n = i / TILE_K;
        bool inside = r0 + r < push.R && column + n < push.N;
#if defined(OP_NT)
        putB(r, n, inside ? adapter[(column + n) * push.R + r0 + r] : 0);
#else
        putB(r, n, inside ? adapter[(r0 + r) * push.N + column + n] : 0);
#endif
    }
}

void main() {
    uint group = gl_WorkGroupID.x + push.groupBase, tiles = (push.M + TILE_M - 1) / TILE_M;
    uint row = group % tiles * TILE_M, column = group / tiles * TILE_N;
    clear();
    for (uint k = 0; k < push.K; k += TILE_K) {
        loadX(row, k);
        loadW(column, k);
        multiply();
    }
    for (uint r = 0; r < push.R; r += TILE_K) {
        loadRank(row, column, r);
        multiply();
    }
    store(row, column);
}
