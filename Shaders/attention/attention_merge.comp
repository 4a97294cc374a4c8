// Parts of an attention, each over some of the keys (attention_decode_shared.comp), weighed against the highest of their tops and added
// in order. out = Σ_p exp(top_p − highest) sum_p / total,  total = Σ_p exp(top_p − highest) total_p,  lse = highest + log total;
// exponents are of 2. An invocation owns four elements of a row.
#version 450
#extension GL_EXT_control_flow_attributes : require

layout(local_size_x_id = 0) in;
layout(constant_id = 0) const uint LANES = 64;
layout(constant_id = 1) const uint HEAD_SIZE = 64;

layout(push_constant) uniform Push {
    uint groupBase;
    uint rows;
    uint parts;
} push;

layout(std430, binding = 0) writeonly buffer OutputStorage { vec4 outputs[]; };  // (rows, D)
layout(std430, binding = 1) writeonly buffer LseStorage { float lse[]; };        // (rows)
layout(std430, binding = 2) readonly buffer SumStorage { vec4 sums[]; };         // (rows, parts, D)
layout(std430, binding = 3) readonly buffer TopStorage { vec2 tops[]; };         // (rows, parts): top, total

const uint D4 = HEAD_SIZE / 4;
const float LN2 = 0.6931471805599453;
const uint AHEAD = 8;

void main() {
    uint i = (gl_WorkGroupID.x + push.groupBase) * LANES + gl_LocalInvocationID.x, row = i / D4, d = i % D4;
    if (row >= push.rows) return;
    uint begin = row * push.parts, end = begin + push.parts;
    float highest = tops[begin].x;
    for (uint p = begin + 1; p < end; p++) highest = max(highest, tops[p].x);
    vec4 sum = vec4(0);
    float total = 0;
    for (uint first = begin; first < end; first += AHEAD) {
        vec4 next[AHEAD];
        vec2 top[AHEAD];
        [[unroll]] for (uint p = 0; p < AHEAD; p++) {
            uint part = min(first + p, end - 1);
            next[p] = sums[part * D4 + d];
            top[p] = tops[part];
        }
        [[unroll]] for (uint p = 0; p < AHEAD; p++)
            if (first + p < end) {
                float weight = exp2(top[p].x - highest);
                total += weight * top[p].y;
                sum += weight * next[p];
            }
    }
    outputs[i] = sum * (total > 0 ? 1 / total : 0);        // a query that sees nothing gives zero
    if (d == 0) lse[row] = (highest + log2(max(total, 1e-37))) * LN2;
}
