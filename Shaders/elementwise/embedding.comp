// Rows of a frozen embedding weight in any of its storage types: y[i] (+)= scale·W[id[i]], one row a workgroup. A weight larger
// than one binding comes in spans of rows, a dispatch a span, and a token whose row is in another span is left alone. The host
// checks the ids; one outside the vocabulary is still never read.
#version 450
//! variants FAMILY = TEXEL SHARED
//! variants WEIGHT = F32 F16 BF16 Q8_0 Q4_0 Q4_1 Q4_K Q5_K Q6_K
#define WEIGHT_BINDING 3
#include "lib/weights.glsl"

layout(local_size_x_id = 0) in;
layout(constant_id = 0) const uint LANES = 8;
layout(constant_id = 1) const bool ACCUMULATE = false; // y += instead of y =
layout(constant_id = 2) const bool SCALED = false;

layout(std430, binding = 0) writeonly buffer Y { vec4 y[]; };   // (N, C)
layout(std430, binding = 1) readonly buffer Ids { int ids[]; }; // (N)
layout(std430, binding = 2) readonly buffer Old { vec4 old[]; };// y itself

layout(push_constant) uniform Push {
    uint groupBase;
    uint width4;     // C / 4
    uint firstToken; // of this span of y
    uint rows;       // of the whole weight
    uint firstRow;   // of this span of the weight, a multiple of 4
    uint spanRows;
    float scale;
} push;

void main() {
    uint token = gl_WorkGroupID.x + push.groupBase;
    uint row = uint(clamp(ids[push.firstToken + token], 0, int(push.rows) - 1)) - push.firstRow;
    if (row >= push.spanRows) return; // an earlier row became too large a number
    uint band = row / 4;
    for (uint i = gl_LocalInvocationID.x; i < push.width4; i += LANES) {
        vec4 tile[4];
        loadTile(band * push.width4 + i, band * (push.width4 / 8) + i / 8, tile);
        uint at = token * push.width4 + i;
        vec4 four = tile[row % 4];
        if (SCALED) four *= push.scale;
        if (ACCUMULATE) four += old[at];
        y[at] = four;
    }
}
