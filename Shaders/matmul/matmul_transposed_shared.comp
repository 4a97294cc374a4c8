#version 450
// y = scale·xᵀ·w, plus `old`, with x (k, m) and w (k, n), through shared memory: an adapter's gradients dA += gᵀ·x and dB += dyᵀ·h on
// any device. M is a multiple of 4.
#extension GL_GOOGLE_include_directive : require
#include "lib/shared_tile.glsl"

layout(std430, binding = 2) readonly buffer XStorage { vec4 x[]; };
layout(std430, binding = 3) readonly buffer WStorage { vec4 w[]; };

// What an invocation fetched of the next slab, and where it does: addresses in the first row of the sum, and in its own first.
vec4 a[A_TURNS][4], b[B_TURNS][4];
uint aAt[A_TURNS], bAt[B_TURNS];

uvec2 placeA(uint turn) { return placeAcross(itemA(turn), QUADS_M); }
uvec2 placeB(uint turn) { return placeAcross(itemB(turn), QUADS_N); }

void find(uint row, uint column) {
    EACH(t, A_TURNS) aAt[t] = push.xOffset + min(row / 4 + placeA(t).y, push.M / 4 - 1);
    EACH(t, B_TURNS) bAt[t] = push.wOffset + min(column / 4 + placeB(t).y, push.N / 4 - 1);
}

void fetch(uint k) {
    uint last = push.K - 1;
    EACH(t, A_TURNS) if (hasA(t)) {
        uint at = aAt[t] + placeA(t).x * 4 * push.xPitch;
        EACH(r, 4) a[t][r] = x[min(at + (k + r) * push.xPitch, aAt[t] + last * push.xPitch)];
    }
    EACH(t, B_TURNS) if (hasB(t)) {
        uint at = bAt[t] + placeB(t).x * 4 * push.wPitch;
        EACH(r, 4) b[t][r] = w[min(at + (k + r) * push.wPitch, bAt[t] + last * push.wPitch)];
    }
}

void put() {
    EACH(t, A_TURNS) if (hasA(t)) putAcross(0, A_PITCH, placeA(t), a[t]);
    EACH(t, B_TURNS) if (hasB(t)) putAcross(B_SLAB, B_PITCH, placeB(t), b[t]);
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
    store(row, column, part);
}
