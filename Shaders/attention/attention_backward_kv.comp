// Attention's gradient for keys and values: the sum over the query heads of the group and the queries that see a key,
// which are those from its own to the end of its span.
// s_ij = cap(scale q_i·k_j),  p_ij = exp(s_ij − lse_i),  dv_j = Σ_i p_ij do_i,
// dk_j = scale Σ_i p_ij (do_i·v_j − delta_i) cap' q_i
// Dao et al.: FlashAttention (2022), algorithm 4.
#version 450
//! variants FAMILY = TEXEL SUBGROUP
#extension GL_EXT_control_flow_attributes : require
#include "lib/load.glsl"
#include "lib/reduce.glsl"
#include "attention/tile.glsl"
#include "attention/score_cap.glsl"
#include "attention/sight.glsl"

OUTPUT4(0, dk);            // (tokens, kvHeads · D)
OUTPUT4(1, dv);
INPUT4(2, dout);                                                                  // (tokens, heads · D)
layout(std430, binding = 3) readonly buffer LseStorage { float lse[]; };          // (tokens, heads)
layout(std430, binding = 4) readonly buffer DeltaStorage { float delta[]; };
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
    uint tiles = (push.tokens + WORKGROUP_ROWS - 1) / WORKGROUP_ROWS;
    uint kvHead = group / tiles;
    uint firstKey = balanced(group % tiles, tiles) * WORKGROUP_ROWS;
    uint lastKey = min(firstKey + WORKGROUP_ROWS, push.tokens) - 1;

    vec4 key[OWNED], value[OWNED], dKey[OWNED], dValue[OWNED];
    int from[ROWS_PER_LANE], to[ROWS_PER_LANE];
    [[unroll]] for (uint r = 0; r < ROWS_PER_LANE; ++r) {
        uint row = min(firstKey + r * LANES + LANE, lastKey);
        from[r] = firstSeeing(int(row), spans[row].x);
        to[r] = spans[row].y;
        uint at = keyRow(row, kvHead, push.kvHeads);
        [[unroll]] for (uint d = 0; d < D4; ++d) {
            key[r * D4 + d] = LOAD4(k, at + d) * (push.scale * LOG2E);
            value[r * D4 + d] = LOAD4(v, at + d);
            dKey[r * D4 + d] = dValue[r * D4 + d] = vec4(0);
        }
    }

    uint firstRow = uint(firstSeeing(int(firstKey), spans[firstKey].x)) * GROUP_SIZE;
    uint endRow = uint(spans[lastKey].y) * GROUP_SIZE;
    for (uint row0 = firstRow; row0 < endRow; row0 += TILE_ROWS) {
        TILE(qTile)
        TILE(doTile)
        uint columnRow = queryRow(min(row0 + LANE % TILE_ROWS, endRow - 1), kvHead, push.kvHeads) / D4;
        FETCH_TILE(qTile, q, queryRow, row0, endRow - 1, kvHead, push.kvHeads)
        FETCH_TILE(doTile, dout, queryRow, row0, endRow - 1, kvHead, push.kvHeads)
        float lseTile = lse[columnRow] * LOG2E;
        float deltaTile = delta[columnRow];

        float p[PAIRS], ds[PAIRS];
        [[unroll]] for (uint i = 0; i < PAIRS; ++i) p[i] = ds[i] = 0;
        ADD_PRODUCTS(p, key, qTile)
        ADD_PRODUCTS(ds, value, doTile)
        [[unroll]] for (uint j = 0; j < TILE_ROWS; ++j) {
            float rowLse = subgroupShuffle(lseTile, j), rowDelta = subgroupShuffle(deltaTile, j);
            int query = int((row0 + j) / GROUP_SIZE);
            [[unroll]] for (uint r = 0; r < ROWS_PER_LANE; ++r) {
                uint at = r * TILE_ROWS + j;
                float score = capped(p[at]);
                p[at] = query >= from[r] && query < to[r] ? exp2(score - rowLse) : 0;
                ds[at] = p[at] * (ds[at] - rowDelta);
                if (SCORE_CAP > 0) ds[at] *= capSlope(score);
            }
        }
        ADD_WEIGHTED(dKey, ds, qTile)
        ADD_WEIGHTED(dValue, p, doTile)
    }

    [[unroll]] for (uint r = 0; r < ROWS_PER_LANE; ++r) {
        uint row = firstKey + r * LANES + LANE;
        if (row > lastKey) continue;
        uint at = keyRow(row, kvHead, push.kvHeads);
        [[unroll]] for (uint d = 0; d < D4; ++d) {
            STORE4(dk, at + d, dKey[r * D4 + d] * push.scale);
            STORE4(dv, at + d, dValue[r * D4 + d]);
        }
    }
}
