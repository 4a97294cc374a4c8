// Causal attention for a few queries, as in generation: one workgroup a query and head; the lanes share out the keys,
// each with an online softmax of its own. At the end they are weighed against the highest and added up.
// Milakov and Gimelshein: Online normalizer calculation for softmax (2018).
#version 450
//! variants FAMILY = TEXEL SUBGROUP
#extension GL_EXT_control_flow_attributes : require
#include "lib/load.glsl"
#include "lib/reduce.glsl"
#include "attention/score_cap.glsl"
#include "attention/sight.glsl"

layout(constant_id = 1) const uint HEAD_SIZE = 64;
layout(constant_id = 2) const uint GROUP_SIZE = 3;     // query heads per key/value head

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

const uint D4 = HEAD_SIZE / 4;
const float LOWEST = -1e30;
const float LOG2E = 1.4426950408889634;
const float LN2 = 0.6931471805599453;

void main() {
    uint group = gl_WorkGroupID.x + push.groupBase;        // query · heads + head
    uint heads = push.kvHeads * GROUP_SIZE;
    uint query = group / heads, kvHead = group % heads / GROUP_SIZE;
    int offset = push.cached != 0 ? keyOffset[0] : 0;
    int firstKey = spans[query].x;
    int lastKey = min(lastSeen(int(query) + offset, spans[query].y), int(push.keys) - 1);

    vec4 one[D4], sum[D4];
    [[unroll]] for (uint d = 0; d < D4; ++d) {
        one[d] = LOAD4(q, group * D4 + d) * (push.scale * LOG2E);
        sum[d] = vec4(0);
    }
    float top = LOWEST, total = 0;
    for (int key0 = firstKey; key0 <= lastKey; key0 += int(LANES)) {
        int key = key0 + int(LANE);
        uint at = (uint(min(key, lastKey)) * push.kvHeads + kvHead) * D4;
        float score = 0;
        [[unroll]] for (uint d = 0; d < D4; ++d) score += dot(one[d], LOAD4(k, at + d));
        score = key <= lastKey ? capped(score) : 2 * LOWEST;
        float highest = max(top, score);
        float shrink = exp2(top - highest), p = exp2(score - highest);
        top = highest;
        total = total * shrink + p;
        [[unroll]] for (uint d = 0; d < D4; ++d) sum[d] = sum[d] * shrink + p * LOAD4(v, at + d);
    }

    float highest = groupMax(top);
    float shrink = exp2(top - highest);
    total = groupSum(total * shrink);
    float scale = total > 0 ? shrink / total : 0;          // a query that sees nothing gives zero
    [[unroll]] for (uint d = 0; d < D4; ++d) {
        vec4 mine = sum[d] * scale;
        vec4 all = vec4(groupSum(mine.x), groupSum(mine.y), groupSum(mine.z), groupSum(mine.w));
        if (LANE == 0) STORE4(outputs, group * D4 + d, all);
    }
    if (LANE == 0) lse[group] = (highest + log2(max(total, 1e-37))) * LN2;
}
