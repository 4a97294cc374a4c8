// Attention's gradient for the queries, as attention_backward_q.comp, for GPUs: probabilities recomputed from lse; also
// delta, which the keys' gradient needs.
// delta_i = do_i·o_i,  s_ij = cap(scale q_i·k_j),  p_ij = exp(s_ij − lse_i),
// ds_ij = p_ij (do_i·v_j − delta_i) cap',  dq_i = scale Σ_j ds_ij k_j
// Dao et al.: FlashAttention (2022), algorithm 4.
#version 450
#extension GL_EXT_control_flow_attributes : require
#extension GL_GOOGLE_include_directive : require
#define KINDS 2        // s and do·v
#include "lib/load.glsl"
#include "attention/shared_rows.glsl"
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

SHARED_TILE(kTile)
SHARED_TILE(vTile)

void main() {
    uint group = gl_WorkGroupID.x + push.groupBase;
    uint rows = push.tokens * GROUP_SIZE;
    uint tiles = (rows + WORKGROUP_ROWS - 1) / WORKGROUP_ROWS;
    uint kvHead = group % push.kvHeads;
    uint firstRow = (tiles - 1 - group / push.kvHeads) * WORKGROUP_ROWS;    // rows that see the most come first
    uint lastRow = min(firstRow + WORKGROUP_ROWS, rows) - 1;

    vec4 query[OWNED], dOutput[OWNED], sum[OWNED];
    [[unroll]] for (uint r = 0; r < ROWS_PER_LANE; ++r) {
        uint at = queryRow(min(firstRow + rowOf(r), lastRow), kvHead, push.kvHeads);
        float part = 0;
        [[unroll]] for (uint i = 0; i < QUADS; ++i) {
            query[r * QUADS + i] = HELD4(q, at, i) * (push.scale * LOG2E);
            dOutput[r * QUADS + i] = HELD4(dout, at, i);
            part = addDot(part, dOutput[r * QUADS + i], HELD4(outputs, at, i));
            sum[r * QUADS + i] = vec4(0);
        }
        PART_AT(0, r) = part;
    }
    barrier();
    int from[SUMS], to[SUMS];
    float rowLse[SUMS], rowDelta[SUMS];
    [[unroll]] for (uint n = 0; n < SUMS; ++n) {
        uint r = pairOf(n) / TILE_ROWS, row = min(firstRow + rowOf(r), lastRow);
        uint at = queryRow(row, kvHead, push.kvHeads) / D4;
        from[n] = spans[row / GROUP_SIZE].x;
        to[n] = lastSeen(int(row / GROUP_SIZE), spans[row / GROUP_SIZE].y);
        rowLse[n] = lse[at] * LOG2E;
        rowDelta[n] = sumOfParts(0, r);
        if (isPair(n) && pairOf(n) % TILE_ROWS == 0 && firstRow + rowOf(r) <= lastRow) delta[at] = rowDelta[n];
    }

    int firstKey = spans[firstRow / GROUP_SIZE].x;
    int lastKey = lastSeen(int(lastRow / GROUP_SIZE), spans[lastRow / GROUP_SIZE].y);
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
        PUT_PRODUCTS(1, dOutput, vTile)
        barrier();
        [[unroll]] for (uint n = 0; n < SUMS; ++n) {
            uint pair = pairOf(n);
            int key = key0 + int(pair % TILE_ROWS);
            float score = capped(sumOfParts(0, pair)), dp = sumOfParts(1, pair);
            float ds = key >= from[n] && key <= to[n] ? exp2(score - rowLse[n]) * (dp - rowDelta[n]) : 0;
            if (SCORE_CAP > 0) ds *= capSlope(score);
            if (isPair(n)) TOTAL_AT(0, pair) = ds;
        }
        barrier();

        float ds[PAIRS];
        GET_TOTALS(ds, 0)
        ADD_WEIGHTED(sum, ds, kTile)
    }

    [[unroll]] for (uint r = 0; r < ROWS_PER_LANE; ++r) {
        uint row = firstRow + rowOf(r);
        if (row > lastRow) continue;
        uint at = queryRow(row, kvHead, push.kvHeads);
        [[unroll]] for (uint i = 0; i < QUADS; ++i)
            if (isHeld(i)) STORE4(dq, at + quadOf(i), sum[r * QUADS + i] * push.scale);
    }
}
