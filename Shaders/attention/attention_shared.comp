// Grouped-query attention by the online softmax, as attention.comp, for GPUs: o_i = Σ_j p_ij v_j,
// p_ij = exp(s_ij − lse_i), s_ij = cap(scale q_i·k_j). Query i sees the keys from the start of its span to itself
// (i + keyOffset when the keys are a cache).
// Powers of 2 inside, base e in lse.
// Milakov and Gimelshein: Online normalizer calculation for softmax (2018); Dao et al.: FlashAttention (2022).
#version 450
#extension GL_EXT_control_flow_attributes : require
#extension GL_GOOGLE_include_directive : require
#define KINDS 1
#include "lib/load.glsl"
#include "attention/shared_rows.glsl"
#include "attention/score_cap.glsl"
#include "attention/sight.glsl"

OUTPUT4(0, outputs);   // (queries, heads · D)
layout(std430, binding = 1) writeonly buffer LseStorage { float lse[]; };         // (queries, heads)
INPUT4(2, q);                                                                     // (queries, heads · D)
INPUT4(3, k);                                                                     // (keys, kvHeads · D)
INPUT4(4, v);
layout(std430, binding = 5) readonly buffer SpanStorage { ivec2 spans[]; };       // (queries): start, end
layout(std430, binding = 6) readonly buffer OffsetStorage { int keyOffset[]; };
layout(push_constant) uniform Push {
    uint groupBase;
    uint queries;
    uint keys;
    uint kvHeads;
    uint cached;       // whether keyOffset counts
    float scale;
} push;

SHARED_TILE(kTile)
SHARED_TILE(vTile)

const float LOWEST = -1e30;

void main() {
    uint group = gl_WorkGroupID.x + push.groupBase;
    uint rows = push.queries * GROUP_SIZE;
    uint tiles = (rows + WORKGROUP_ROWS - 1) / WORKGROUP_ROWS;
    uint kvHead = group % push.kvHeads;
    uint firstRow = (tiles - 1 - group / push.kvHeads) * WORKGROUP_ROWS;    // rows that see the most come first
    uint lastRow = min(firstRow + WORKGROUP_ROWS, rows) - 1;
    int offset = push.cached != 0 ? keyOffset[0] : 0;

    vec4 query[OWNED], sum[OWNED];
    float top[ROWS_PER_LANE], total[ROWS_PER_LANE];
    [[unroll]] for (uint r = 0; r < ROWS_PER_LANE; ++r) {
        uint at = queryRow(min(firstRow + rowOf(r), lastRow), kvHead, push.kvHeads);
        top[r] = LOWEST;
        total[r] = 0;
        [[unroll]] for (uint i = 0; i < QUADS; ++i) {
            query[r * QUADS + i] = HELD4(q, at, i) * (push.scale * LOG2E);
            sum[r * QUADS + i] = vec4(0);
        }
    }
    int from[SUMS], to[SUMS];
    [[unroll]] for (uint n = 0; n < SUMS; ++n) {
        uint row = min(firstRow + rowOf(pairOf(n) / TILE_ROWS), lastRow);
        from[n] = spans[row / GROUP_SIZE].x;
        to[n] = lastSeen(int(row / GROUP_SIZE) + offset, spans[row / GROUP_SIZE].y);
    }

    int firstKey = spans[firstRow / GROUP_SIZE].x;
    int lastKey = min(lastSeen(int(lastRow / GROUP_SIZE) + offset, spans[lastRow / GROUP_SIZE].y), int(push.keys) - 1);
    NEXT_TILE(kNext)
    NEXT_TILE(vNext)
    if (firstKey <= lastKey) {
        LOAD_TILE(kNext, k, keyRow, uint(firstKey), uint(lastKey), kvHead, push.kvHeads)
        LOAD_TILE(vNext, v, keyRow, uint(firstKey), uint(lastKey), kvHead, push.kvHeads)
    }
    for (int key0 = firstKey; key0 <= lastKey; key0 += int(TILE_ROWS)) {
        barrier();
        PUT_TILE(kTile, kNext)
        PUT_TILE(vTile, vNext)
        barrier();
        LOAD_TILE(kNext, k, keyRow, uint(key0) + TILE_ROWS, uint(lastKey), kvHead, push.kvHeads)
        LOAD_TILE(vNext, v, keyRow, uint(key0) + TILE_ROWS, uint(lastKey), kvHead, push.kvHeads)
        PUT_PRODUCTS(0, query, kTile)
        barrier();
        [[unroll]] for (uint n = 0; n < SUMS; ++n) {
            uint pair = pairOf(n);
            int key = key0 + int(pair % TILE_ROWS);
            float score = capped(sumOfParts(0, pair));
            if (isPair(n)) TOTAL_AT(0, pair) = key >= from[n] && key <= to[n] ? score : 2 * LOWEST;
        }
        barrier();

        float p[PAIRS];
        GET_TOTALS(p, 0)
        [[unroll]] for (uint r = 0; r < ROWS_PER_LANE; ++r) {
            float highest = top[r];
            [[unroll]] for (uint j = 0; j < TILE_ROWS; ++j) highest = max(highest, p[r * TILE_ROWS + j]);
            float shrink = exp2(top[r] - highest);
            top[r] = highest;
            total[r] *= shrink;
            [[unroll]] for (uint j = 0; j < TILE_ROWS; ++j) {
                uint at = r * TILE_ROWS + j;
                p[at] = exp2(p[at] - highest);
                total[r] += p[at];
            }
            [[unroll]] for (uint i = 0; i < QUADS; ++i) sum[r * QUADS + i] *= shrink;
        }
        ADD_WEIGHTED(sum, p, vTile)
    }

    [[unroll]] for (uint r = 0; r < ROWS_PER_LANE; ++r) {
        uint row = firstRow + rowOf(r);
        if (row > lastRow) continue;
        uint at = queryRow(row, kvHead, push.kvHeads);
        float inverse = total[r] > 0 ? 1 / total[r] : 0;       // a query that sees nothing gives zero
        [[unroll]] for (uint i = 0; i < QUADS; ++i)
            if (isHeld(i)) STORE4(outputs, at + quadOf(i), sum[r * QUADS + i] * inverse);
        if (PART == 0) lse[at / D4] = (top[r] + log2(max(total[r], 1e-37))) * LN2;
    }
}
