// Attention's gradient for keys and values, as attention_backward_kv.comp, for GPUs: the sum over the query heads of the
// group and the queries that see a key, which are those from its own to the end of its span. `parts` workgroups share out a sum.
// s_ij = cap(scale q_i·k_j),  p_ij = exp(s_ij − lse_i),  dv_j = Σ_i p_ij do_i,
// dk_j = scale Σ_i p_ij (do_i·v_j − delta_i) cap' q_i
// Dao et al.: FlashAttention (2022), algorithm 4.
#version 450
#extension GL_EXT_control_flow_attributes : require
#extension GL_GOOGLE_include_directive : require
#define KINDS 2        // s and do·v, then ds and p
#include "lib/load.glsl"
#include "attention/shared_rows.glsl"
#include "attention/score_cap.glsl"
#include "attention/sight.glsl"

OUTPUT4(0, dk);            // (parts, tokens, kvHeads · D)
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
    uint parts;
} push;

SHARED_TILE(qTile)
SHARED_TILE(doTile)

void main() {
    uint workgroup = gl_WorkGroupID.x + push.groupBase;
    uint group = workgroup / push.parts, part = workgroup % push.parts;
    uint kvHead = group % push.kvHeads;
    uint firstKey = group / push.kvHeads * WORKGROUP_ROWS;
    uint lastKey = min(firstKey + WORKGROUP_ROWS, push.tokens) - 1;

    vec4 key[OWNED], value[OWNED], dKey[OWNED], dValue[OWNED];
    [[unroll]] for (uint r = 0; r < ROWS_PER_LANE; ++r) {
        uint at = keyRow(min(firstKey + rowOf(r), lastKey), kvHead, push.kvHeads);
        [[unroll]] for (uint i = 0; i < QUADS; ++i) {
            key[r * QUADS + i] = HELD4(k, at, i) * (push.scale * LOG2E);
            value[r * QUADS + i] = HELD4(v, at, i);
            dKey[r * QUADS + i] = dValue[r * QUADS + i] = vec4(0);
        }
    }
    int from[SUMS], to[SUMS];
    [[unroll]] for (uint n = 0; n < SUMS; ++n) {
        uint row = min(firstKey + rowOf(pairOf(n) / TILE_ROWS), lastKey);
        from[n] = firstSeeing(int(row), spans[row].x);
        to[n] = spans[row].y;
    }

    uint firstRow = uint(firstSeeing(int(firstKey), spans[firstKey].x)) * GROUP_SIZE;
    uint endRow = uint(spans[lastKey].y) * GROUP_SIZE;
    if (push.parts > 1) {
        uint tiles = (endRow - firstRow + TILE_ROWS * push.parts - 1) / (TILE_ROWS * push.parts);
        firstRow += part * tiles * TILE_ROWS;
        endRow = min(endRow, firstRow + tiles * TILE_ROWS);
    }
    NEXT_TILE(qNext)
    NEXT_TILE(doNext)
    LOAD_TILE(qNext, q, queryRow, firstRow, endRow - 1, kvHead, push.kvHeads)
    LOAD_TILE(doNext, dout, queryRow, firstRow, endRow - 1, kvHead, push.kvHeads)
    for (uint row0 = firstRow; row0 < endRow; row0 += TILE_ROWS) {
        barrier();
        PUT_TILE(qTile, qNext)
        PUT_TILE(doTile, doNext)
        barrier();
        LOAD_TILE(qNext, q, queryRow, row0 + TILE_ROWS, endRow - 1, kvHead, push.kvHeads)
        LOAD_TILE(doNext, dout, queryRow, row0 + TILE_ROWS, endRow - 1, kvHead, push.kvHeads)
        float rowLse[SUMS], rowDelta[SUMS];
        [[unroll]] for (uint n = 0; n < SUMS; ++n) {
            uint row = min(row0 + pairOf(n) % TILE_ROWS, endRow - 1);
            uint at = queryRow(row, kvHead, push.kvHeads) / D4;
            rowLse[n] = lse[at] * LOG2E;
            rowDelta[n] = delta[at];
        }
        PUT_PRODUCTS(0, key, qTile)
        PUT_PRODUCTS(1, value, doTile)
        barrier();
        [[unroll]] for (uint n = 0; n < SUMS; ++n) {
            uint pair = pairOf(n);
            int query = int((row0 + pair % TILE_ROWS) / GROUP_SIZE);
            float score = capped(sumOfParts(0, pair)), dp = sumOfParts(1, pair);
            float p = query >= from[n] && query < to[n] ? exp2(score - rowLse[n]) : 0;
            float ds = p * (dp - rowDelta[n]);
            if (SCORE_CAP > 0) ds *= capSlope(score);
            if (isPair(n)) {
                TOTAL_AT(0, pair) = ds;
                TOTAL_AT(1, pair) = p;
            }
        }
        barrier();

        float weights[PAIRS];
        GET_TOTALS(weights, 0)
        ADD_WEIGHTED(dKey, weights, qTile)
        GET_TOTALS(weights, 1)
        ADD_WEIGHTED(dValue, weights, doTile)
    }

    [[unroll]] for (uint r = 0; r < ROWS_PER_LANE; ++r) {
        uint row = firstKey + rowOf(r);
        if (row > lastKey) continue;
        uint at = keyRow(part * push.tokens + row, kvHead, push.kvHeads);
        [[unroll]] for (uint i = 0; i < QUADS; ++i)
            if (isHeld(i)) {
                STORE4(dk, at + quadOf(i), dKey[r * QUADS + i] * push.scale);
                STORE4(dv, at + quadOf(i), dValue[r * QUADS + i]);
            }
    }
}
