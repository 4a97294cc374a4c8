#version 450
// y = scale·(x·Wᵀ + h·Bᵀ) (NT) or scale·(dy·W + g·A) (NN), plus `old`, through shared memory on any device. K and R are multiples of
// 4. An f32 W lies in tiles or row by row (TILED); the other types always in tiles.
//! variants OP = NT NN
//! variants WEIGHT = F32 F16 BF16 Q8_0 Q4_0 Q4_1 Q4_K Q5_K Q6_K
#extension GL_GOOGLE_include_directive : require
#include "lib/shared_tile.glsl"

layout(constant_id = 7) const bool RANK_TERM = false;
layout(constant_id = 8) const bool TILED = true;

layout(std430, binding = 2) readonly buffer XStorage { vec4 x[]; };
layout(std430, binding = 3) readonly buffer HStorage { vec4 h[]; };              // (M, R)
layout(std430, binding = 4) readonly buffer AdapterStorage { vec4 adapter[]; };  // NT: (N, R), NN: (R, N)
#define WEIGHT_BINDING 5
#include "lib/weights.glsl"

#if defined(OP_NT)
#define PUT_B putAlong
uvec2 placeB(uint turn) { return placeAlong(itemB(turn)); }
#else
#define PUT_B putAcross
uvec2 placeB(uint turn) { return placeAcross(itemB(turn), QUADS_N); }
#endif
uvec2 placeA(uint turn) { return placeAlong(itemA(turn)); }

// What an invocation fetched of the next slab, and where it does: addresses at the beginning of the sum.
vec4 a[A_TURNS][4];
PackedTile b[B_TURNS];
uint aAt[A_TURNS], bAt[B_TURNS], bScale[B_TURNS];

// Quad k4 of a sum, or the last one.
uint inSum(uint k4) { return min(k4, push.K / 4 - 1); }

void find(uint row, uint column) {
    uint K4 = push.K / 4, N4 = push.N / 4;
    EACH(t, A_TURNS) aAt[t] = (row + placeA(t).y * 4) * push.xPitch;
    EACH(t, B_TURNS) {
        uint n4 = min(column / 4 + placeB(t).y, N4 - 1);
#if defined(OP_NT)
        bAt[t] = TILED ? n4 * K4 : n4 * 4 * push.wPitch + push.wOffset;
        bScale[t] = n4 * (K4 / 8);
#else
        bAt[t] = TILED ? n4 : push.wOffset + n4;
        bScale[t] = n4 / 8;
#endif
    }
}

#if defined(WEIGHT_F32)
// Row by row.
PackedTile readRows(uint first) {
    PackedTile rows;
    EACH(r, 4) rows.rows[r] = weightRows[first + r * push.wPitch];
    return rows;
}
#endif

PackedTile readB(uint t, uint k4) {
    uint mine = placeB(t).x;
#if defined(OP_NT)
    k4 = inSum(k4 + mine);
#if defined(WEIGHT_F32)
    if (!TILED) return readRows(bAt[t] + k4);
#endif
    return readTile(bAt[t] + k4, bScale[t] + k4 / 8);
#else
    uint last = push.K / 4 - 1, N4 = push.N / 4;
#define BAND(pitch) min(k4 * (pitch) + mine * (pitch), last * (pitch))
#if defined(WEIGHT_F32)
    if (!TILED) return readRows(bAt[t] + BAND(4 * push.wPitch));
#endif
    return readTile(bAt[t] + BAND(N4), bScale[t] + BAND(N4 / 8));
#endif
}

void fetch(uint k) {
    EACH(t, A_TURNS) if (hasA(t)) {
        uint k4 = inSum(k / 4 + placeA(t).x);
        EACH(r, 4) a[t][r] = x[min(aAt[t] + r * push.xPitch, (push.M - 1) * push.xPitch) + push.xOffset + k4];
    }
    EACH(t, B_TURNS) if (hasB(t)) b[t] = readB(t, k / 4);
}

void put() {
    EACH(t, A_TURNS) if (hasA(t)) putAlong(0, A_PITCH, placeA(t), a[t]);
    EACH(t, B_TURNS) if (hasB(t)) {
        vec4 rows[4];
        unpackTile(b[t], rows);
        PUT_B(B_SLAB, B_PITCH, placeB(t), rows);
    }
}

// The adapter's term: a slab or a few, so nothing is fetched ahead.
void putRank(uint row, uint column, uint r0) {
    uint R4 = push.R / 4, N4 = push.N / 4;
    EACH(t, A_TURNS) if (hasA(t)) {
        uvec2 place = placeA(t);
        uint r4 = min(r0 / 4 + place.x, R4 - 1);
        vec4 rows[4];
        EACH(r, 4) rows[r] = h[min(row + place.y * 4 + r, push.M - 1) * push.hPitch + push.hOffset + r4];
        putAlong(0, A_PITCH, place, rows);
    }
    EACH(t, B_TURNS) if (hasB(t)) {
        uvec2 place = placeB(t);
        uint r4 = min(r0 / 4 + place.x, R4 - 1), n4 = min(column / 4 + place.y, N4 - 1);
        vec4 rows[4];
#if defined(OP_NT)
        EACH(r, 4) rows[r] = adapter[(n4 * 4 + r) * R4 + r4];
#else
        EACH(r, 4) rows[r] = adapter[(r4 * 4 + r) * N4 + n4];
#endif
        PUT_B(B_SLAB, B_PITCH, place, rows);
    }
}

void main() {
    uint group = gl_WorkGroupID.x + push.groupBase, tilesM = (push.M + TILE_M - 1) / TILE_M;
    uint tiles = tilesM * ((push.N + TILE_N - 1) / TILE_N), part = group / tiles, tile = group % tiles;
    uint row = tile % tilesM * TILE_M, column = tile / tilesM * TILE_N;
    uint begin = part * push.partK, end = min(begin + push.partK, push.K);
    clear();
    find(row, column);
    fetch(begin);
    for (uint k = begin; k < end; k += TILE_K) {
        put();
        barrier();
        if (k + TILE_K < end) fetch(k + TILE_K);
        multiply(end - k);
        barrier();
    }
    if (RANK_TERM && part == 0)
        for (uint r = 0; r < push.R; r += TILE_K) {
            putRank(row, column, r);
            barrier();
            multiply(push.R - r);
            barrier();
        }
    store(row, column, part);
}
