#version 450
// y = x·W_eᵀ (NT) or dx = dy·W_e (NN), each row by the frozen weight of its expert e, through shared memory on any device. Rows lie
// expert by expert; `tiles` says which rows a workgroup has, all of one expert's. The weights W_e lie behind each other.
// With GATHERED, x has a row a token instead of a row a place.
//! variants OP = NT NN
//! variants WEIGHT = F32 F16 BF16 Q8_0 Q4_0 Q4_1 Q4_K Q5_K Q6_K MXFP4
#extension GL_GOOGLE_include_directive : require
#include "experts/rows.glsl"
#define yPitch yStride
#include "lib/shared_tile.glsl"

layout(constant_id = 7) const bool GATHERED = false;

layout(std430, binding = 2) readonly buffer XStorage { vec4 x[]; };
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
uint aAt[A_TURNS][4], bAt[B_TURNS], bScale[B_TURNS];

// Quad k4 of a sum, or the last one.
uint inSum(uint k4) { return min(k4, push.K / 4 - 1); }

void find(uint column) {
    uint K4 = push.K / 4, N4 = push.N / 4;
    EACH(t, A_TURNS) EACH(r, 4) {
        uint m = placeA(t).y * 4 + r;
        aAt[t][r] = (GATHERED ? tokenOf(m) : rowOf(m)) * push.xStride;
    }
    EACH(t, B_TURNS) {
        uint n4 = min(column / 4 + placeB(t).y, N4 - 1);
#if defined(OP_NT)
        bAt[t] = (expert * N4 + n4) * K4;
        bScale[t] = (expert * N4 + n4) * (K4 / 8);
#else
        bAt[t] = expert * K4 * N4 + n4;
        bScale[t] = expert * K4 * (N4 / 8) + n4 / 8;
#endif
    }
}

void fetch(uint k) {
    EACH(t, A_TURNS) if (hasA(t)) {
        uint k4 = inSum(k / 4 + placeA(t).x);
        EACH(r, 4) a[t][r] = x[aAt[t][r] + k4];
    }
    EACH(t, B_TURNS) if (hasB(t)) {
        uint k4 = inSum(k / 4 + placeB(t).x);
#if defined(OP_NT)
        b[t] = readTile(bAt[t] + k4, bScale[t] + k4 / 8);
#else
        b[t] = readTile(bAt[t] + k4 * (push.N / 4), bScale[t] + k4 * (push.N / 32));
#endif
    }
}

void put() {
    EACH(t, A_TURNS) if (hasA(t)) putAlong(0, A_PITCH, placeA(t), a[t]);
    EACH(t, B_TURNS) if (hasB(t)) {
        vec4 rows[4];
        unpackTile(b[t], rows);
        PUT_B(B_SLAB, B_PITCH, placeB(t), rows);
    }
}

void main() {
    uint group = gl_WorkGroupID.x + push.groupBase, across = (push.N + TILE_N - 1) / TILE_N;
    if (!findRows(group / across)) return;
    uint column = group % across * TILE_N;
    clear();
    find(column);
    fetch(0);
    for (uint k = 0; k < push.K; k += TILE_K) {
        put();
        barrier();
        if (k + TILE_K < push.K) fetch(k + TILE_K);
        multiply(push.K - k);
        barrier();
    }
    store(firstRow, column, 0);
}
