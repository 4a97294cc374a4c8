// Attention's gradient for the queries, probabilities recomputed from lse; also delta, which the keys' gradient needs.
// delta_i = do_i·o_i,  s_ij = cap(scale q_i·k_j),  p_ij = exp(s_ij − lse_i),
// ds_ij = p_ij (do_i·v_j − delta_i) cap',  dq_i = scale Σ_j ds_ij k_j
// Dao et al.: FlashAttention (2022), algorithm 4.
#version 450
//! variants FAMILY = TEXEL SUBGROUP
#extension GL_EXT_control_flow_attributes : require
#include "lib/load.glsl"
#include "lib/reduce.glsl"
#include "attention/tile.glsl"
#include "attention/score_cap.glsl"
#include "attention/sight.glsl"

OUTPUT4(0, dq);            // (tokens, heads · D)
layout(std430, binding = 1) writeonly buffer DeltaStorage { float delta[]; };     // (tokens, heads)
INPUT4(2, dout);                                                                  // (tokens, heads · D)
INPUT4(3, outputs);
layout(std430, binding = 4) readonly buffer LseStorage { float lse[]; };          // (tokens, heads)
INPUT4(5, q);
INPUT4(6, k);                                                                     // (tokens, kvHeads · D)
INPUT4(7, v);
layout(std430, binding = 8) readonly buffer SpanStorage { ivec2 spans[]; };       // (tokens): start, end
layout(push_constant) uniform Push {
    uint groupBase;
    uint tokens;
    uint kvHeads;
    float scale;
} push;

void main() {
    uint group = gl_WorkGroupID.x + push.groupBase;
    uint rows = push.tokens * GROUP_SIZE;
    uint tiles = (rows + WORKGROUP_ROWS - 1) / WORKGROUP_ROWS;
    uint kvHead = group / tiles;
    uint firstRow = balanced(group % tiles, tiles) * WORKGROUP_ROWS;
    uint lastRow = min(firstRow + WORKGROUP_ROWS, rows) - 1;

    vec4 query[OWNED], dOutput[OWNED], sum[OWNED];
    float rowLse[ROWS_PER_LANE], rowDelta[ROWS_PER_LANE];
    int from[ROWS_PER_LANE], to[ROWS_PER_LANE];
    [[unroll]] for (uint r = 0; r < ROWS_PER_LANE; ++r) {
        uint row = min(firstRow + r * LANES + LANE, lastRow);
        from[r] = spans[row / GROUP_SIZE].x;
        to[r] = lastSeen(int(row / GROUP_SIZE), spans[row / GROUP_SIZE].y);
        uint at = queryRow(row, kvHead, push.kvHeads);
        rowLse[r] = lse[at / D4] * LOG2E;
        rowDelta[r] = 0;
        [[unroll]] for (uint d = 0; d < D4; ++d) {
            query[r * D4 + d] = LOAD4(q, at + d) * (push.scale * LOG2E);
            dOutput[r * D4 + d] = LOAD4(dout, at + d);
            rowDelta[r] += dot(dOutput[r * D4 + d], LOAD4(outputs, at + d));
            sum[r * D4 + d] = vec4(0);
        }
    }

    int firstKey = spans[firstRow / GROUP_SIZE].x;
    int lastKey = lastSeen(int(lastRow / GROUP_SIZE), spans[lastRow / GROUP_SIZE].y);
    for (int key0 = firstKey; key0 <= lastKey; key0 += int(TILE_ROWS)) {
        TILE(kTile)
        TILE(vTile)
        FETCH_TILE(kTile, k, keyRow, uint(key0), uint(lastKey), kvHead, push.kvHeads)
        FETCH_TILE(vTile, v, keyRow, uint(key0), uint(lastKey), kvHead, push.kvHeads)

        float ds[PAIRS], dp[PAIRS];
        [[unroll]] for (uint i = 0; i < PAIRS; ++i) ds[i] = dp[i] = 0;
        ADD_PRODUCTS(ds, query, kTile)
        ADD_PRODUCTS(dp, dOutput, vTile)
        [[unroll]] for (uint r = 0; r < ROWS_PER_LANE; ++r)
            [[unroll]] for (uint j = 0; j < TILE_ROWS; ++j) {
                int key = key0 + int(j);
                uint at = r * TILE_ROWS + j;
                float score = capped(ds[at]);
                ds[at] = key >= from[r] && key <= to[r] ? exp2(score - rowLse[r]) * (dp[at] - rowDelta[r]) : 0;
                if (SCORE_CAP > 0) ds[at] *= capSlope(score);
            }
        ADD_WEIGHTED(sum, ds, kTile)
    }

    [[unroll]] for (uint r = 0; r < ROWS_PER_LANE; ++r) {
        uint row = firstRow + r * LANES + LANE;
        if (row > lastRow) continue;
        uint at = queryRow(row, kvHead, push.kvHeads);
        [[unroll]] for (uint d = 0; d < D4; ++d) STORE4(dq, at + d, sum[r * D4 + d] * push.scale);
        delta[at / D4] = rowDelta[r];
    }
}
