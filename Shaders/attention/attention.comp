// Grouped-query attention by the online softmax: o_i = Σ_j p_ij v_j, p_ij = exp(s_ij − lse_i),
// s_ij = cap(scale q_i·k_j). Query i sees the keys from the start of its span to itself (i + keyOffset when the
// keys are a cache).
// Powers of 2 inside, base e in lse.
// Milakov and Gimelshein: Online normalizer calculation for softmax (2018); Dao et al.: FlashAttention (2022).
#version 450
//! variants FAMILY = TEXEL SUBGROUP
#extension GL_EXT_control_flow_attributes : require
#include "lib/load.glsl"
#include "lib/reduce.glsl"
#include "attention/tile.glsl"
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

const float LOWEST = -1e30;

void main() {
    uint group = gl_WorkGroupID.x + push.groupBase;
    uint rows = push.queries * GROUP_SIZE;
    uint tiles = (rows + WORKGROUP_ROWS - 1) / WORKGROUP_ROWS;
    uint kvHead = group / tiles;
    uint firstRow = balanced(group % tiles, tiles) * WORKGROUP_ROWS;
    uint lastRow = min(firstRow + WORKGROUP_ROWS, rows) - 1;
    int offset = push.cached != 0 ? keyOffset[0] : 0;

    vec4 query[OWNED], sum[OWNED];
    float top[ROWS_PER_LANE], total[ROWS_PER_LANE];
    int from[ROWS_PER_LANE], to[ROWS_PER_LANE];
    [[unroll]] for (uint r = 0; r < ROWS_PER_LANE; ++r) {
        uint row = min(firstRow + r * LANES + LANE, lastRow);
        from[r] = spans[row / GROUP_SIZE].x;
        to[r] = lastSeen(int(row / GROUP_SIZE) + offset, spans[row / GROUP_SIZE].y);
        top[r] = LOWEST;
        total[r] = 0;
        uint at = queryRow(row, kvHead, push.kvHeads);
        [[unroll]] for (uint d = 0; d < D4; ++d) {
            query[r * D4 + d] = LOAD4(q, at + d) * (push.scale * LOG2E);
            sum[r * D4 + d] = vec4(0);
        }
    }

    int firstKey = spans[firstRow / GROUP_SIZE].x;
    int lastKey = min(lastSeen(int(lastRow / GROUP_SIZE) + offset, spans[lastRow / GROUP_SIZE].y), int(push.keys) - 1);
    for (int key0 = firstKey; key0 <= lastKey; key0 += int(TILE_ROWS)) {
        TILE(kTile)
        TILE(vTile)
        FETCH_TILE(kTile, k, keyRow, uint(key0), uint(lastKey), kvHead, push.kvHeads)
        FETCH_TILE(vTile, v, keyRow, uint(key0), uint(lastKey), kvHead, push.kvHeads)

        float p[PAIRS];
        [[unroll]] for (uint i = 0; i < PAIRS; ++i) p[i] = 0;
        ADD_PRODUCTS(p, query, kTile)
        [[unroll]] for (uint r = 0; r < ROWS_PER_LANE; ++r) {
            float highest = top[r];
            [[unroll]] for (uint j = 0; j < TILE_ROWS; ++j) {
                int key = key0 + int(j);
                uint at = r * TILE_ROWS + j;
                p[at] = key >= from[r] && key <= to[r] ? capped(p[at]) : 2 * LOWEST;
                highest = max(highest, p[at]);
            }
            float shrink = exp2(top[r] - highest);
            top[r] = highest;
            total[r] *= shrink;
            [[unroll]] for (uint j = 0; j < TILE_ROWS; ++j) {
                uint at = r * TILE_ROWS + j;
                p[at] = exp2(p[at] - highest);
                total[r] += p[at];
            }
            [[unroll]] for (uint d = 0; d < D4; ++d) sum[r * D4 + d] *= shrink;
        }
        ADD_WEIGHTED(sum, p, vTile)
    }

    [[unroll]] for (uint r = 0; r < ROWS_PER_LANE; ++r) {
        uint row = firstRow + r * LANES + LANE;
        if (row > lastRow) continue;
        uint at = queryRow(row, kvHead, push.kvHeads);
        float inverse = total[r] > 0 ? 1 / total[r] : 0;       // a query that sees nothing gives zero
        [[unroll]] for (uint d = 0; d < D4; ++d) STORE4(outputs, at + d, sum[r * D4 + d] * inverse);
        lse[at / D4] = (top[r] + log2(max(total[r], 1e-37))) * LN2;
    }
}
