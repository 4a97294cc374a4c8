// Causal attention for a few queries, as in generation, for GPUs: a workgroup, or `parts` of them, each over some of the keys, for a query
// and head. Teams of lanes share out the keys, TILE_ROWS at a time, each with an online softmax of its own. At the end they are weighed
// against the highest and added up; what parts give is for attention_merge.comp.
// Milakov and Gimelshein: Online normalizer calculation for softmax (2018). Dao et al.: Flash-Decoding (2023).
#version 450
#extension GL_EXT_control_flow_attributes : require
#extension GL_GOOGLE_include_directive : require
#define KINDS 1
#include "lib/load.glsl"
#include "attention/shared_rows.glsl"
#include "attention/score_cap.glsl"
#include "attention/sight.glsl"

OUTPUT4(0, outputs);   // (queries, heads · D), or sums (queries, heads, parts, D)
layout(std430, binding = 1) writeonly buffer LseStorage { float lse[]; };         // (queries, heads), or top and total of each part
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
    uint parts;
} push;

const int TRIP = int(TEAMS * TILE_ROWS);                   // keys of the workgroup at a time
const float LOWEST = -1e30;

shared float tops[TEAMS], counts[TEAMS];
shared vec4 sums[TEAMS * ROW_QUADS];

void main() {
    uint workgroup = gl_WorkGroupID.x + push.groupBase;
    uint group = workgroup / push.parts;                   // query · heads + head
    uint heads = push.kvHeads * GROUP_SIZE;
    uint query = group / heads, kvHead = group % heads / GROUP_SIZE;
    int offset = push.cached != 0 ? keyOffset[0] : 0;
    int firstKey = spans[query].x;
    int lastKey = min(lastSeen(int(query) + offset, spans[query].y), int(push.keys) - 1);
    if (push.parts > 1) {
        int trips = (max(lastKey - firstKey, 0) / TRIP + int(push.parts)) / int(push.parts);
        firstKey += int(workgroup % push.parts) * trips * TRIP;
        lastKey = min(lastKey, firstKey + trips * TRIP - 1);
    }

    vec4 one[QUADS], sum[QUADS];
    [[unroll]] for (uint i = 0; i < QUADS; ++i) {
        one[i] = HELD4(q, group * D4, i) * (push.scale * LOG2E);
        sum[i] = vec4(0);
    }
    float top = LOWEST, total = 0;
    for (int key0 = firstKey; key0 <= lastKey; key0 += TRIP) {
        vec4 values[TILE_ROWS * QUADS];
        float scores[TILE_ROWS];
        [[unroll]] for (uint j = 0; j < TILE_ROWS; ++j) {
            uint at = keyRow(uint(min(key0 + int(rowOf(j)), lastKey)), kvHead, push.kvHeads);
            scores[j] = 0;
            [[unroll]] for (uint i = 0; i < QUADS; ++i) {
                scores[j] = addDot(scores[j], one[i], HELD4(k, at, i));
                values[j * QUADS + i] = HELD4(v, at, i);
            }
        }
        [[unroll]] for (uint j = 0; j < TILE_ROWS; ++j) PART_AT(0, j) = scores[j];
        barrier();
        [[unroll]] for (uint n = 0; n < SUMS; ++n) {
            uint pair = pairOf(n);
            float score = capped(sumOfParts(0, pair));
            if (isPair(n)) TOTAL_AT(0, pair) = key0 + int(rowOf(pair)) <= lastKey ? score : 2 * LOWEST;
        }
        barrier();

        GET_TOTALS(scores, 0)
        float highest = top;
        [[unroll]] for (uint j = 0; j < TILE_ROWS; ++j) highest = max(highest, scores[j]);
        float shrink = exp2(top - highest);
        top = highest;
        total *= shrink;
        [[unroll]] for (uint i = 0; i < QUADS; ++i) sum[i] *= shrink;
        [[unroll]] for (uint j = 0; j < TILE_ROWS; ++j) {
            float p = exp2(scores[j] - highest);
            total += p;
            [[unroll]] for (uint i = 0; i < QUADS; ++i) sum[i] += p * values[j * QUADS + i];
        }
    }

    if (PART == 0) {
        tops[TEAM] = top;
        counts[TEAM] = total;
    }
    [[unroll]] for (uint i = 0; i < QUADS; ++i) sums[TEAM * ROW_QUADS + quadOf(i)] = sum[i];
    barrier();
    float highest = LOWEST;
    total = 0;
    for (uint team = 0; team < TEAMS; ++team) highest = max(highest, tops[team]);
    for (uint team = 0; team < TEAMS; ++team) total += counts[team] * exp2(tops[team] - highest);
    float inverse = push.parts > 1 ? 1 : total > 0 ? 1 / total : 0;  // a query that sees nothing gives zero
    for (uint d = LANE; d < D4; d += LANES) {
        vec4 all = vec4(0);
        for (uint team = 0; team < TEAMS; ++team) all += exp2(tops[team] - highest) * sums[team * ROW_QUADS + d];
        STORE4(outputs, workgroup * D4 + d, all * inverse);
    }
    if (LANE > 0) return;
    if (push.parts > 1) {
        lse[2 * workgroup] = highest;
        lse[2 * workgroup + 1] = total;
    } else {
        lse[group] = (highest + log2(max(total, 1e-37))) * LN2;
    }
}
